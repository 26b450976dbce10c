"""The session contract: states, moves, matrix, diagram, precedence and invariants."""

import json
from typing import Final

from docs_pages.markdown import generated_from, page, sentence, table
from jumping_vpn.core.record import RECORD_INVARIANTS
from jumping_vpn.core.session.inputs import INPUTS, OBSERVATIONS
from jumping_vpn.core.session.invariants import INVARIANTS
from jumping_vpn.core.session.model import Shape, State
from jumping_vpn.core.session.table import CELLS, TABLE, TABLE_DIGEST

INTRODUCTION = """A session moves only when the table has a row for what it is and what happened.
An *input* is a verdict that was reached before the table is asked: cryptography, admission, policy
or a timer decide which input happened, the table says what it means, and the invariants check the
result. A pair without a row is refused: a returned value that changes nothing."""

REFUSALS = """An *observation* names the binding that it was made on. When the session has left that
binding it is refused with `STALE_SIGNAL`: the late death notice of the old path must not knock over
the new one. Every other pair without a row is refused with `NO_SUCH_MOVE`."""

INVARIANTS_TEXT = """The machine checks the invariants of a move at every commit, a record is
checked before it is saved, and `jvpn audit verify` replays a log through the table and the
invariants of a move. The numbers are those of the contract's invariants."""


def contract() -> str:
    """Return the whole page."""
    return page(
        "# The session contract",
        generated_from("jumping_vpn/core/session"),
        INTRODUCTION,
        f"Digest of this table, as every move's event carries it: `{TABLE_DIGEST}`",
        "## States",
        table(("state", "meaning"), ((f"`{each}`", each.meaning) for each in State)),
        "## Inputs",
        "In the order in which inputs that fall due at the same instant are applied.",
        inputs_table(),
        REFUSALS,
        "## Moves",
        moves_table(),
        "For other tools: [session-table.json](reference/session-table.json).",
        "## Matrix",
        "The state that an input leads to; `-` is refused.",
        matrix(),
        "## Diagram",
        "Every live state also leads to TERMINATED, by the inputs that the matrix shows.",
        diagram(),
        "## Invariants",
        INVARIANTS_TEXT,
        table(
            ("no.", "name", "of", "what must hold"),
            (
                *((each.number, f"`{each.name}`", "a move", each.text) for each in INVARIANTS),
                *(
                    (each.number, f"`{each.name}`", "a record", each.text)
                    for each in RECORD_INVARIANTS
                ),
            ),
        ),
    )


def inputs_table() -> str:
    """Return every input, in the order of precedence."""
    rows = (
        (
            place,
            f"`{each.__name__}`",
            "yes" if each in OBSERVATIONS else "",
            sentence(each.__doc__),
        )
        for place, each in enumerate(INPUTS, start=1)
    )
    return table(("order", "input", "observation", "what happened"), rows)


def moves_table() -> str:
    """Return every row of the table."""
    rows = (
        (
            ", ".join(row.before),
            f"`{row.on.__name__}`",
            row.after,
            row.effect,
            ", ".join(f"`{each}`" for each in row.reasons),
        )
        for row in TABLE
    )
    return table(("before", "input", "after", "binding", "reasons, the default first"), rows)


def matrix() -> str:
    """Return what every input does to every shape."""
    rows = []
    for on in INPUTS:
        cells = (CELLS.get((shape, on)) for shape in Shape)
        rows.append((f"`{on.__name__}`", *("-" if row is None else row.after for row in cells)))
    return table(("input", *Shape), rows)


def diagram() -> str:
    """Return the moves between live states, as a Mermaid diagram."""
    lines = [
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> BIRTH",
        *(f"    {line}" for line in edges()),
        "    TERMINATED --> [*]",
        "```",
    ]
    return "\n".join(lines)


def edges() -> list[str]:
    """Return one line for every pair of states, with the inputs that lead across."""
    inputs: dict[tuple[str, str], list[str]] = {}
    for (shape, on), row in CELLS.items():
        if row.after is State.TERMINATED and shape is not Shape.BIRTH:
            continue
        pair = (STATE_OF[shape].value, row.after.value)
        names = inputs.setdefault(pair, [])
        if on.__name__ not in names:
            names.append(on.__name__)
    return [f"{before} --> {after}: {', '.join(on)}" for (before, after), on in inputs.items()]


STATE_OF: Final = {shape: State[shape.value.partition(" ")[0]] for shape in Shape}


def rows_as_json() -> str:
    """Return the table for other tools: one object for each cell."""
    cells = [
        {
            "before": shape,
            "input": on.__name__,
            "after": row.after,
            "binding": row.effect,
            "reasons": row.reasons,
        }
        for (shape, on), row in CELLS.items()
    ]
    return json.dumps({"digest": TABLE_DIGEST, "cells": cells}, indent=2) + "\n"


PAGES: Final = {
    "session-contract.md": contract,
    "reference/session-table.json": rows_as_json,
}
