"""Samples as people read them: a row for each peer, then what was to be reached and was."""

from collections.abc import Sequence

from bench.measures.goals import GOALS, judge
from bench.measures.samples import Sample, Summary, summary


def table(samples: Sequence[Sample], *, order: Sequence[str]) -> str:
    """Return medians with their range over the rounds, and the goals that the samples reach."""
    lines = [*grid(rows(samples, order=order)), "", *verdicts(samples), *doubts(samples)]
    return "\n".join(lines)


def rows(samples: Sequence[Sample], *, order: Sequence[str]) -> list[list[str]]:
    """Return the cells: peers down, figures across."""
    figures = list(dict.fromkeys((each.figure, each.unit) for each in samples))
    found = {each.peer for each in samples}
    peers = [each for each in order if each in found] + sorted(found - set(order))
    head = ["", *(f"{figure}, {unit}" for figure, unit in figures)]
    body = [
        [peer, *(cell(summary(samples, peer, figure)) for figure, _ in figures)] for peer in peers
    ]
    return [head, *body]


def cell(told: Summary | None) -> str:
    """Return a median with its range."""
    if told is None:
        return "-"
    text = number(told.median)
    if told.count > 1:
        text += f" ({number(told.low)}-{number(told.high)})"
    return text


def number(value: float) -> str:
    """Return a figure with the digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def grid(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return cells as lines with aligned columns, turned where that is narrower."""
    turned = list(zip(*cells, strict=True)) if len(cells[0]) > len(cells) else cells
    widths = [max(len(row[index]) for row in turned) for index in range(len(turned[0]))]
    return [
        "  ".join(
            text.rjust(width) if index else text.ljust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in turned
    ]


def verdicts(samples: Sequence[Sample]) -> list[str]:
    """Return a line for each goal that these samples can judge."""
    told = ((goal, judge(goal, samples)) for goal in GOALS)
    return [
        f"{'reached ' if verdict.reached else 'MISSED  '} {goal.text}: {cell(verdict.summary)}"
        f" (wanted {goal.bound_text})"
        for goal, verdict in told
        if verdict is not None
    ]


def doubts(samples: Sequence[Sample]) -> list[str]:
    """Return how many samples were not counted, and why the first of them."""
    doubtful = [each for each in samples if not each.trusted]
    if not doubtful:
        return []
    return [f"doubtful: {len(doubtful)} of {len(samples)} samples, as {doubtful[0].doubt}"]
