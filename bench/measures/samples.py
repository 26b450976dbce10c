"""One measured value, and what many of them say: medians, spreads, ratios within a round."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One figure of one peer in one round, and whether the machine was quiet meanwhile."""

    bench: str
    run: str
    round: int
    peer: str
    version: str
    figure: str
    unit: str
    value: float
    trusted: bool = True
    doubt: str = ""

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The median of some values, the range they lie in, and how many there are."""

    median: float
    low: float
    high: float
    count: int
    doubtful: int = 0
    is_doubtful: bool = False
    """Nothing but doubtful values was there, so they count."""

    @property
    def spread(self) -> float:
        """The range as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def parse(lines: Iterable[str]) -> list[Sample]:
    """Return the samples among lines of JSON, which may say more than a sample does."""
    known = {each.name for each in fields(Sample)}
    told: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
    return [
        Sample(**{name: each[name] for name in known & each.keys()})
        for each in told
        if {"run", "figure", "value"} <= each.keys()
    ]


def read(file: Path, *, run: str | None = None) -> list[Sample]:
    """Return the samples of a run that a file holds; without a name, those of its last run."""
    if not file.exists():
        return []
    found = parse(file.read_text(encoding="utf-8").splitlines())
    wanted = run if run is not None else (found[-1].run if found else "")
    return [each for each in found if each.run == wanted]


def values(samples: Iterable[Sample], peer: str, figure: str) -> dict[int, Sample]:
    """Return a peer's samples of a figure by round; of a round that was repeated, the last."""
    return {each.round: each for each in samples if (each.peer, each.figure) == (peer, figure)}


def summary(samples: Sequence[Sample], peer: str, figure: str) -> Summary | None:
    """Return what a peer's samples of a figure say; None where there are none.

    What was measured while somebody else used the machine counts only where nothing else is there.
    """
    return _summarise(values(samples, peer, figure).values())


def ratio(
    samples: Sequence[Sample], figure: str, over: str, under: str, *, under_figure: str = ""
) -> Summary | None:
    """Return how many times `under`'s value that of `over` is, each pair within one round."""
    above = values(samples, over, figure)
    below = values(samples, under, under_figure or figure)
    pairs = [
        Sample(
            bench="",
            run="",
            round=number,
            peer=over,
            version="",
            figure=figure,
            unit="times",
            value=above[number].value / below[number].value,
            trusted=above[number].trusted and below[number].trusted,
        )
        for number in above.keys() & below.keys()
        if below[number].value
    ]
    return _summarise(pairs)


def _summarise(samples: Iterable[Sample]) -> Summary | None:
    every = list(samples)
    good = [each.value for each in every if each.trusted]
    used = good or [each.value for each in every]
    if not used:
        return None
    return Summary(
        median=statistics.median(used),
        low=min(used),
        high=max(used),
        count=len(used),
        doubtful=len(every) - len(good),
        is_doubtful=not good,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of the ordered values does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
