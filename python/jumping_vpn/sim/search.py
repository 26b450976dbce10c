"""Exhaustive search: every condition that can be reached, each once, breadth first.

Breadth first makes a counterexample as short as one can be. Besides the checks of each condition,
each is shown to recover: with no more faults, the session is attached on both sides or over.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from jumping_vpn.core.session.invariants import InvariantBroken
from jumping_vpn.sim.checks import broken_in, scene_of
from jumping_vpn.sim.condition import Action, Condition
from jumping_vpn.sim.recovery import fairly, is_settled
from jumping_vpn.sim.world import TOO_LATE, World

Step: TypeAlias = tuple[Condition, Action]
"""From which condition, and by what."""
RECOVERY_STEPS: Final = 400
"""More than any recovery takes: who needs more goes round in circles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """How something that must hold came to be broken."""

    broken: tuple[str, ...]
    story: tuple[str, ...]

    def __str__(self) -> str:
        """Return the transcript."""
        lines = [f"{number:3}. {line}" for number, line in enumerate(self.story, 1)]
        return "\n".join([*lines, *(f"   BROKEN: {each}" for each in self.broken)])


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a search found; `exhausted`: nothing that can be reached was left out."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    exhausted: bool = False
    counterexample: Counterexample | None = None


@dataclass(slots=True)
class Search:
    """One search through one world."""

    world: World
    begin: Condition
    came_from: dict[Condition, Step | None] = field(default_factory=dict)
    recovered: set[Condition] = field(default_factory=set)

    def run(
        self,
        *,
        depth: int | None = None,
        states: int | None = None,
        progress: Callable[[Findings], None] = lambda _: None,
    ) -> Findings:
        """Search until nothing is left, a bound is reached, or something is broken."""
        findings = Findings()
        self.came_from[self.begin] = None
        layer = [self.begin]
        while layer and (depth is None or findings.depth < depth):
            layer = self._next(layer, findings)
            findings.depth += 1
            findings.states = len(self.came_from)
            progress(findings)
            if findings.counterexample or (states is not None and findings.states >= states):
                return findings
        findings.exhausted = not layer
        return findings

    def _next(self, layer: list[Condition], findings: Findings) -> list[Condition]:
        fresh: list[Condition] = []
        for condition in layer:
            try:
                for action, after in self.world.following(condition):
                    findings.transitions += 1
                    broken = _broken_by(condition, action, after)
                    if after not in self.came_from:
                        self.came_from[after] = condition, action
                        fresh.append(after)
                        broken += self._broken_in(after)
                    if broken:
                        findings.counterexample = self._told((condition, action), broken)
                        return []
            except InvariantBroken as error:
                broken = (f"what follows: {error}",)
                findings.counterexample = self._told(self.came_from[condition], broken)
                return []
        return fresh

    def _broken_in(self, condition: Condition) -> tuple[str, ...]:
        return broken_in(scene_of(self.world, condition)) or self._stuck(condition)

    def _stuck(self, condition: Condition) -> tuple[str, ...]:
        """Return what keeps the session from recovering once nothing fails any more."""
        way: list[Condition] = []
        while condition not in self.recovered:
            way.append(condition)
            after = fairly(self.world, condition)
            if after is None:
                if not is_settled(self.world, condition):
                    return ("without another fault, it is neither attached again nor over",)
                break
            if len(way) > RECOVERY_STEPS:
                return (f"without another fault, it has not recovered in {len(way)} steps",)
            condition = after
        self.recovered.update(way)
        return ()

    def _told(self, step: Step | None, broken: tuple[str, ...]) -> Counterexample:
        story: list[str] = []
        while step is not None:
            condition, action = step
            story.append(self.world.show(action))
            step = self.came_from[condition]
        return Counterexample(broken=broken, story=tuple(reversed(story)))


def _broken_by(before: Condition, action: Action, after: Condition) -> tuple[str, ...]:
    """Return what one step shows by itself, wherever it leads."""
    late = action.what == TOO_LATE and action.where < 0
    if late and after._replace(left=before.left) != before:
        return ("the death of a binding that was left meant something to the client",)
    return ()
