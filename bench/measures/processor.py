"""Processor time: of processes, of the whole machine, and what somebody else takes of it."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
LOOK_SECONDS: Final = 0.3
LOOKS_MAX: Final = 10
WORN_SECONDS: Final = 0.3
KERNEL: Final = 2
"""The parent of the kernel's own threads: what they do is done for the traffic."""
ELSEWHERE_MAX: Final = 0.08
"""The share of the processors that others may use before a figure is doubtful."""
STOLEN_MAX: Final = 0.02
"""The share of the processors that the machine's own host may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the processors have done since they were started, in seconds over all of them."""

    busy: float
    idle: float
    stolen: float

    @classmethod
    def read(cls, stat: str | None = None) -> "Machine":
        """Read it from the first line of /proc/stat."""
        line = (stat or Path("/proc/stat").read_text(encoding="ascii")).partition("\n")[0]
        user, nice, system, idle, waiting, irq, softirq, stolen = map(int, line.split()[1:9])
        return cls(
            busy=(user + nice + system + irq + softirq) * TICK,
            idle=(idle + waiting) * TICK,
            stolen=stolen * TICK,
        )

    def since(self, earlier: "Machine") -> "Machine":
        """Return what was done between two instants."""
        return Machine(
            busy=self.busy - earlier.busy,
            idle=self.idle - earlier.idle,
            stolen=self.stolen - earlier.stolen,
        )

    @property
    def total(self) -> float:
        """All of the time that there was."""
        return self.busy + self.idle + self.stolen


def process_seconds(pids: Iterable[int]) -> float:
    """Return the user and system time of these processes so far."""
    return sum(_spent(Path(f"/proc/{pid}/stat").read_text(encoding="ascii")) for pid in pids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the machine and everybody else had done at one instant."""

    machine: Machine
    others: dict[int, float]

    @classmethod
    def begin(cls) -> "Watch":
        """Look now."""
        return cls(machine=Machine.read(), others=others())

    def is_worn(self) -> bool:
        """Say whether enough time has passed since to say anything about it."""
        return Machine.read().since(self.machine).total > WORN_SECONDS

    def doubt(self) -> str:
        """Return why what was measured since cannot be trusted, nothing where it can."""
        during = Machine.read().since(self.machine)
        elsewhere = self._used_by_others() / during.total
        return explain(elsewhere=elsewhere, stolen=during.stolen / during.total)

    def busy_for_us(self) -> float:
        """Return the processor time since that nobody else used."""
        return Machine.read().since(self.machine).busy - self._used_by_others()

    def _used_by_others(self) -> float:
        return sum(spent - self.others.get(pid, 0.0) for pid, spent in others().items())


def explain(*, elsewhere: float, stolen: float) -> str:
    """Return what shares of the processors make a figure doubtful, nothing where none does."""
    reasons = (
        (elsewhere > ELSEWHERE_MAX, f"others used {elsewhere:.0%} of the processors"),
        (stolen > STOLEN_MAX, f"{stolen:.0%} of the processors were taken away"),
    )
    return "; ".join(text for is_so, text in reasons if is_so)


def wait_for_calm() -> None:
    """Wait a while for others to finish what they do; what they go on with makes a doubt."""
    for _ in range(LOOKS_MAX):
        before = Machine.read()
        time.sleep(LOOK_SECONDS)
        span = Machine.read().since(before)
        if span.busy / span.total <= ELSEWHERE_MAX:
            return


def others() -> dict[int, float]:
    """Return the processor time of each process that is neither the kernel's nor ours so far."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text, pid = stat.read_text(encoding="ascii", errors="replace"), int(stat.parent.name)
            parents[pid], spent[pid] = int(text.rpartition(")")[2].split()[1]), _spent(text)
    return {
        pid: seconds
        for pid, seconds in spent.items()
        if not _descends(pid, {os.getpid(), KERNEL}, parents)
    }


def _descends(pid: int, ancestors: set[int], parents: dict[int, int]) -> bool:
    while pid and pid not in ancestors:
        pid = parents.get(pid, 0)
    return pid in ancestors


def _spent(stat: str) -> float:
    # The name of the process is in brackets and may hold anything.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK
