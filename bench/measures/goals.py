"""What the data plane must reach beside its peers: ratios and figures, each with its bound."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.measures.samples import Sample, Summary, ratio, summary

OURS: Final = "jumping-vpn"
NO_CIPHER: Final = "jumping-vpn (no cipher)"
NO_RETENTION: Final = "jumping-vpn (no retention)"
CROWDED: Final = "jumping-vpn (10000 sessions)"
WIREGUARD: Final = "wireguard-go"
NEBULA: Final = "nebula"
TUNNEL: Final = "plain tunnel"
CORE: Final = "Rust core"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One bound: a figure of `over`, as a multiple of that of `under` where there is one.

    `point` is the number of the goal in the project's list.
    """

    point: int
    text: str
    figure: str
    over: str = OURS
    under: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound_text(self) -> str:
        """The bound as people read it."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}"

    def holds(self, value: float) -> bool:
        """Say whether a value is within the bound."""
        if self.at_least is not None and value < self.at_least:
            return False
        return self.at_most is None or value <= self.at_most

    def both_ways(self) -> tuple["Goal", "Goal"]:
        """Return the goal for each direction of the bulk."""
        up, down = (
            replace(self, text=f"{self.text}, {way}", figure=self.figure.format(way=way))
            for way in ("up", "down")
        )
        return up, down


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the rounds say about a goal."""

    summary: Summary
    reached: bool


def judge(goal: Goal, samples: Sequence[Sample]) -> Verdict | None:
    """Return the verdict, None where one of the two was not measured."""
    if goal.under:
        told = ratio(samples, goal.figure, goal.over, goal.under)
    else:
        told = summary(samples, goal.over, goal.figure)
    return None if told is None else Verdict(summary=told, reached=goal.holds(told.median))


TCP: Final = "TCP 1 {way}"
GOALS: Final[tuple[Goal, ...]] = (
    *Goal(
        point=1, text="TCP, one stream, times wireguard-go", figure=TCP, under=WIREGUARD, at_least=2
    ).both_ways(),
    *Goal(
        point=1,
        text="TCP, one stream, share of the same without cryptography",
        figure=TCP,
        under=NO_CIPHER,
        at_least=0.75,
    ).both_ways(),
    *Goal(
        point=2,
        text="TCP, four streams, times wireguard-go",
        figure="TCP 4 {way}",
        under=WIREGUARD,
        at_least=1.5,
    ).both_ways(),
    *Goal(
        point=2,
        text="UDP of 1,350 B cut by the kernel, times wireguard-go",
        figure="UDP 1350 {way}",
        under=WIREGUARD,
        at_least=1.5,
    ).both_ways(),
    *Goal(
        point=3,
        text="UDP of 200 B delivered, times wireguard-go",
        figure="UDP 200 {way}",
        under=WIREGUARD,
        at_least=2,
    ).both_ways(),
    *Goal(
        point=3,
        text="UDP of 200 B delivered, times nebula",
        figure="UDP 200 {way}",
        under=NEBULA,
        at_least=1,
    ).both_ways(),
    Goal(
        point=3,
        text="ping p50, times the plain tunnel",
        figure="ping p50",
        under=TUNNEL,
        at_most=1.5,
    ),
    Goal(
        point=3,
        text="ping p99, times wireguard-go",
        figure="ping p99",
        under=WIREGUARD,
        at_most=1,
    ),
    *Goal(
        point=4,
        text="processor time per GB, share of wireguard-go's",
        figure="TCP 1 {way} cost",
        under=WIREGUARD,
        at_most=0.5,
    ).both_ways(),
    *Goal(
        point=5,
        text="TCP, one stream, share of the same without retention",
        figure=TCP,
        under=NO_RETENTION,
        at_least=0.95,
    ).both_ways(),
    *Goal(
        point=6,
        text="TCP, one stream, with 10,000 sessions, share of that with one",
        figure=TCP,
        over=CROWDED,
        under=OURS,
        at_least=0.9,
    ).both_ways(),
    Goal(
        point=6,
        text="memory of an idle session in the core, bytes",
        figure="memory of a session",
        over=CORE,
        at_most=4096,
    ),
)
