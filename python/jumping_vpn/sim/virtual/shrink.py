"""The smallest scenario that still fails: faults are dropped while it does."""

from collections.abc import Callable

from msgspec.structs import replace

from jumping_vpn.sim.virtual.scenario import Scenario
from jumping_vpn.sim.virtual.world import Report, play


def shrunk(failed: Report, *, run: Callable[[Scenario], Report] = play) -> Report:
    """Return the report of a scenario with as few faults as still fail in the same way."""
    best = failed
    for size in _sizes(len(failed.scenario.faults)):
        best = _dropped(best, size, run)
    return best


def _sizes(count: int) -> list[int]:
    """Return how many faults are dropped at once: halves first, single ones to the end, twice."""
    sizes = []
    while count > 1:
        count = (count + 1) // 2
        sizes.append(count)
    return [*sizes, 1, 1]


def _dropped(best: Report, size: int, run: Callable[[Scenario], Report]) -> Report:
    """Try to do without each run of so many faults."""
    start = 0
    while start < len(best.scenario.faults):
        faults = best.scenario.faults
        fewer = faults[:start] + faults[start + size :]
        report = run(replace(best.scenario, faults=fewer))
        if _is_alike(report, best):
            best = report
        else:
            start += size
    return best


def _is_alike(report: Report, other: Report) -> bool:
    """Say whether both broke the same thing first, whatever its numbers are."""
    return bool(report.findings) and _kind(report) == _kind(other)


def _kind(report: Report) -> str:
    text = report.findings[0].partition(": ")[2]
    return "".join(each for each in text if not each.isdigit())[:40]
