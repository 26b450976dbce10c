"""The reference of policy, reasons and events, and the JSON Schemas of the events."""

import json
from functools import partial
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from docs_pages.markdown import generated_from, page, table
from jumping_vpn.core.event_data import DATA, CandidateFigures, Figures, Handover, MoveData
from jumping_vpn.core.events import DATA_OF, MOVE_TYPES, Event, EventType, severity_of
from jumping_vpn.core.policy.limits import FIELDS, Policy
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import TABLE

POLICY = """A session's policy is one immutable object; it keeps the one it was born with until a
`POLICY_CHANGED` event moves it. Durations are whole milliseconds. An unknown field, a wrong type or
a value out of range is an error that names the field, the value and the range. A bound may be
another field of the same policy."""

REASONS = """One closed vocabulary: the same codes stand in moves, refusals, events, messages and
metrics. Codes are only ever added; none is renamed or given another meaning."""

EVENTS = """One envelope for every event, and a typed `data` for every type. A session's moves are
the events marked *move*: each version has exactly one. All others are observations; they carry the
version at which they were made. The schema of each type is in [schema/](schema/). Types and fields
are only ever added. Addresses (`Shown`) are their /24 or /56 unless the operator configured
otherwise."""

ENVELOPE: Final = {
    "event_id": "UUIDv7; orders the events of one writer.",
    "ts_ms": "Wall time of the writer, ms since 1970.",
    "event_type": "What happened.",
    "severity": "How much attention it wants.",
    "node_id": "The gateway or client that wrote it.",
    "node_seq": "Its number in the writer's log, without gaps.",
    "session_id": "The session, hexadecimal; null where the event is about none.",
    "state_version": "The session's version; of a move, the version that the move made.",
    "binding_epoch": "The highest binding epoch that the session ever used, after a move.",
    "reason_code": "Why; one of the reasons.",
    "policy_version": '"version:SHA-256" of the session\'s policy.',
    "data": "What the type adds.",
    "prev_hash": "The hash of the event before it in the writer's log.",
    "hash": "The hash of this event with `hash` empty.",
}


def policy() -> str:
    """Return the reference of the policy."""
    default = Policy()
    rows = (
        (f"`{each.name}`", _shown(getattr(default, each.name)), each.unit, each.range, each.meaning)
        for each in FIELDS
    )
    return page(
        "# Policy",
        generated_from("jumping_vpn/core/policy/limits.py"),
        POLICY,
        f"The default policy has the hash `{default.hash()}`.",
        table(("field", "default", "unit", "range", "meaning"), rows),
    )


def reasons() -> str:
    """Return the reference of the reasons."""
    rows = ((f"`{each}`", each.meaning, ", ".join(_inputs_with(each))) for each in Reason)
    return page(
        "# Reasons",
        generated_from("jumping_vpn/core/session/reasons.py"),
        REASONS,
        table(("reason", "meaning", "moves by"), rows),
    )


def events() -> str:
    """Return the reference of the events."""
    types = (
        (
            f"`{each}`",
            "move" if each in MOVE_TYPES else "",
            severity_of(each, Reason.NO_SUCH_MOVE),
            each.meaning,
            f"[{DATA_OF[each].__name__}](#{DATA_OF[each].__name__.lower()})",
        )
        for each in EventType
    )
    structs = (MoveData, *DATA, Figures, Handover, CandidateFigures)
    return page(
        "# Events",
        generated_from("jumping_vpn/core/events.py and event_data.py"),
        EVENTS,
        "## Envelope",
        table(("field", "meaning"), ((f"`{name}`", text) for name, text in ENVELOPE.items())),
        "## Types",
        table(("type", "", "severity", "what happened", "data"), types),
        "## Data",
        *(part for struct in structs for part in _struct(struct)),
    )


def schema(event_type: EventType) -> str:
    """Return the JSON Schema of one type of event, envelope included."""
    fields: list[Any] = []
    for name, annotation in Event.__annotations__.items():
        special = {"event_type": Literal[event_type.value], "data": DATA_OF[event_type]}
        fields.append((name, special.get(name, annotation)))
    envelope = msgspec.defstruct(event_type.value, fields, kw_only=True)
    (reference,), components = msgspec.json.schema_components([envelope])
    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event_type.value,
        "description": event_type.meaning,
        "$ref": reference["$ref"].replace("/components/schemas/", "/$defs/"),
        "$defs": components,
    }
    text = json.dumps(made, indent=2, sort_keys=True)
    return text.replace("#/components/schemas/", "#/$defs/") + "\n"


def _struct(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    own = [
        (f"`{each.name}`", _type_name(each.type))
        for each in msgspec.structs.fields(struct)
        if not _is_move(struct) or each.name not in MoveData.__struct_fields__
    ]
    text = (struct.__doc__ or "").strip().replace("\n    ", "\n")
    shared = "All fields of [MoveData](#movedata), and:" if _is_move(struct) else ""
    return tuple(
        part
        for part in (f"### {struct.__name__}", text, shared, table(("field", "type"), own))
        if part
    )


def _is_move(struct: type[msgspec.Struct]) -> bool:
    return issubclass(struct, MoveData) and struct is not MoveData


def _type_name(annotation: Any) -> str:  # noqa: ANN401  any annotation has a text
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple:
        return f"list of {_type_name(arguments[0])}"
    if arguments:
        return " or ".join(_type_name(each) for each in arguments)
    return "null" if annotation is type(None) else str(annotation.__name__)


def _inputs_with(reason: Reason) -> list[str]:
    names = [f"`{row.on.__name__}`" for row in TABLE if reason in row.reasons]
    return list(dict.fromkeys(names))


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


PAGES: Final = {
    "reference/policy.md": policy,
    "reference/reasons.md": reasons,
    "reference/events.md": events,
    **{f"reference/schema/{each.value.lower()}.json": partial(schema, each) for each in EventType},
}
