"""What a session has to endure in a soak: links that are bad, or a machine that is.

In none of them does a path die, so no binding may be declared dead.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from jumping_vpn.lab.link import Lane, Windows, symmetric
from jumping_vpn.lab.stage import Stage
from jumping_vpn.lab.topology import CABLE, WIFI, PathPlan

BURN: Final = "while True: pass"
STOPPED_SECONDS: Final = 2.0
STOPPED_EVERY_SECONDS: Final = 15.0
BURSTS: Final = Windows(every_us=5_000_000, for_us=200_000, loss=0.6)
PLAIN: Final = Lane(delay_us=20_000, jitter_us=5_000, in_order=True)


@contextmanager
def in_peace() -> Iterator[None]:
    """Disturb nothing."""
    yield


@contextmanager
def every_core_busy() -> Iterator[None]:
    """Keep every core busy with other work."""
    cores = sorted(os.sched_getaffinity(0))
    burning = [
        subprocess.Popen(("taskset", "--cpu-list", str(core), sys.executable, "-c", BURN))
        for core in cores
    ]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def leave_alone(_stage: Stage) -> None:
    """Do nothing to the product."""


def stop_the_client(stage: Stage) -> None:
    """Stop the client's process for a while, as a laptop's lid or a debugger does."""
    client = stage.client.process
    if client is not None and client.poll() is None:
        client.send_signal(signal.SIGSTOP)
        try:
            time.sleep(STOPPED_SECONDS)
        finally:
            client.send_signal(signal.SIGCONT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One hardship: the links, what goes on around the product, and what is done to it.

    `deaths_max` is more than none where the path has to be learnt first.
    """

    name: str
    lane: Lane
    around: Callable[[], AbstractContextManager[None]] = in_peace
    harm: Callable[[Stage], None] = leave_alone
    deaths_max: int = 0

    def plans(self) -> tuple[PathPlan, ...]:
        """Return the paths of the lab; bursts never hit both at a time."""
        wifi = symmetric(self.lane, seed=WIFI.link.seed)
        cable = symmetric(_half_a_period_later(self.lane), seed=CABLE.link.seed)
        return (replace(WIFI, link=wifi), replace(CABLE, link=cable))


def _half_a_period_later(lane: Lane) -> Lane:
    if isinstance(lane.burst, Windows):
        return replace(lane, burst=replace(lane.burst, after_us=lane.burst.every_us // 2))
    return lane


PROFILES: Final = (
    Profile(name="loss", lane=replace(PLAIN, loss=0.05)),
    Profile(name="bursts", lane=replace(PLAIN, burst=BURSTS), deaths_max=1),
    Profile(name="jitter", lane=Lane(delay_us=50_000, jitter_us=30_000)),
    Profile(name="busy", lane=PLAIN, around=every_core_busy),
    Profile(name="stopped", lane=PLAIN, harm=stop_the_client),
)
