"""`make explore`: search every configuration to the end, and say what was found.

python -m jumping_vpn.sim.explore                 every configuration, exact numbers
python -m jumping_vpn.sim.explore --depth 30      one with every fault, as deep as this
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Final

from jumping_vpn.sim.configurations import DEEP, LARGE, SMALL, Configuration
from jumping_vpn.sim.recovery import attached
from jumping_vpn.sim.search import Findings, Search
from jumping_vpn.sim.world import World

PROCESSES: Final = 2
FOUND: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one exploration found, and how long it took."""

    configuration: Configuration
    findings: Findings
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing is broken, and there are as many conditions as there should be."""
        found, expected = self.findings, self.configuration.states
        if found.counterexample is not None:
            return False
        return not found.exhausted or found.states == expected


def explore(configuration: Configuration, depth: int | None = None) -> Outcome:
    """Search one configuration, to the end or to a depth."""
    began = time.monotonic()
    world = World()
    begin = attached(world, configuration.budget)
    findings = Search(world, begin).run(depth=depth)
    seconds = time.monotonic() - began
    return Outcome(configuration=configuration, findings=findings, seconds=seconds)


def main() -> int:
    """Explore, print a line for each configuration, and return 1 if anything is not as it was."""
    parser = argparse.ArgumentParser(prog="explore", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--depth", type=int, help="search one with every fault, to this depth")
    parser.add_argument("--small", action="store_true", help="only those that take seconds")
    arguments = parser.parse_args()
    chosen: Sequence[Configuration] = SMALL if arguments.small else (*LARGE, *SMALL)
    if arguments.depth is not None:
        chosen = (DEEP,)
    outcomes = []
    with ProcessPoolExecutor(PROCESSES) as pool:
        running = [pool.submit(explore, each, arguments.depth) for each in chosen]
        for done in as_completed(running):
            outcomes.append(done.result())
            _tell(outcomes[-1])
    states = sum(each.findings.states for each in outcomes)
    wrong = [each for each in outcomes if not each.is_right]
    _say(f"{states:,} conditions, each looked at and seen to recover; {len(wrong)} not as expected")
    return FOUND if wrong else 0


def _tell(outcome: Outcome) -> None:
    found, configuration = outcome.findings, outcome.configuration
    extent = "all" if found.exhausted else f"to depth {found.depth}"
    _say(
        f"{configuration.name:28} {found.states:>9,} conditions ({extent})"
        f" {found.transitions:>11,} steps {outcome.seconds:7.1f} s"
    )
    if found.counterexample is not None:
        _say(str(found.counterexample))
    elif not outcome.is_right:
        _say(f"  {configuration.states:,} were there before: what can happen has changed")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
