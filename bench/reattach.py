"""Accepted reattaches per second of one gateway on one core: real process, store and sockets.

Needs root, for a namespace. Prints one JSON line for each reason to jump: a planned jump is one
move, one after a death two. On a machine that others use as well the honest figure is the
processor time of one accepted reattach; `per_core_s` is how many of them a second has. Neighbours
on the same silicon slow a core without being seen on it, so the same is told of each second, the
best first: it is what the core does when it is left alone, as the yardstick shows.
"""

import json
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench._site import INSIDE, SWARM_CPU, Site, endpoint_of, run_inside
from bench._swarm import Member, Swarm, enrol, gather

from jumping_vpn import __version__
from jumping_vpn.core.wire.messages import Trigger
from jumping_vpn.dataplane.keys import gateway_public_key

CLIENTS: Final = 512
UNDER_WAY: Final = 64
WARM_UP_SECONDS: Final = 3.0
SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05
STUCK_SECONDS: Final = 10.0
SLICE_SECONDS: Final = 1.0
STORE_WRITER: Final = "python-3"
"""The thread that judges and commits, by its place among the gateway's threads."""


@dataclass(slots=True)
class Tally:
    """What the swarm saw in one span."""

    waited_s: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    costs_us: list[float] = field(default_factory=list)


def load(
    swarm: Swarm,
    resting: deque[Member],
    trigger: Trigger,
    *,
    seconds: float,
    spent_us: Callable[[], float],
) -> Tally:
    """Keep so many attempts under way for a while, each by the member that rested longest."""
    tally = Tally()
    seen = 0
    spent, until = spent_us(), time.monotonic() + seconds
    next_look = time.monotonic() + SLICE_SECONDS
    for _ in range(UNDER_WAY):
        resting.popleft().ask(trigger, now=time.monotonic())
    under_way = UNDER_WAY
    while under_way and time.monotonic() < until + STUCK_SECONDS:
        for answered in swarm.answers(POLL_SECONDS):
            if answered.reason:
                tally.refusals[answered.reason] += 1
            else:
                tally.waited_s.append(answered.waited_s)
            resting.append(answered.member)
            now = time.monotonic()
            if now < until:
                resting.popleft().ask(trigger, now=now)
            else:
                under_way -= 1
        if time.monotonic() >= next_look and len(tally.waited_s) > seen:
            before, spent = spent, spent_us()
            tally.costs_us.append((spent - before) / (len(tally.waited_s) - seen))
            seen, next_look = len(tally.waited_s), next_look + SLICE_SECONDS
    return tally


def yardstick_ms() -> float:
    """Return the processor time of a fixed piece of work: a shared core is slower."""
    began = time.process_time()
    sum(each * each for each in range(1_000_000))
    return round((time.process_time() - began) * 1e3, 1)


def measure(
    site: Site, swarm: Swarm, resting: deque[Member], trigger: Trigger
) -> dict[str, object]:
    """Return the figures of one reason to jump, in steady state."""

    def spent_us() -> float:
        return sum(site.cpu_us().values())

    load(swarm, resting, trigger, seconds=WARM_UP_SECONDS, spent_us=spent_us)
    saves, threads = site.driver_counters()["saves"], site.cpu_us()
    began, own = time.monotonic(), time.process_time()
    tally = load(swarm, resting, trigger, seconds=SECONDS, spent_us=spent_us)
    wall, own = time.monotonic() - began, time.process_time() - own
    spent = {name: us - threads.get(name, 0) for name, us in site.cpu_us().items()}
    accepted = len(tally.waited_s)
    waited = sorted(tally.waited_s)
    cpu_us = sum(spent.values()) / accepted
    return {
        "bench": "reattach",
        "trigger": trigger.value,
        "accepted_per_s": round(accepted / wall),
        "cpu_us_per_accepted": round(cpu_us, 1),
        "per_core_s": round(1e6 / cpu_us),
        "per_core_s_by_second": sorted(
            (round(1e6 / each) for each in tally.costs_us), reverse=True
        ),
        "core_used": round(sum(spent.values()) / wall / 1e6, 2),
        "refused": dict(tally.refusals),
        "p50_ms": round(waited[accepted // 2] * 1e3, 1),
        "p99_ms": round(waited[accepted * 99 // 100] * 1e3, 1),
        "saves": site.driver_counters()["saves"] - saves,
        "cpu_us_by_thread": {
            name: round(us / accepted, 1) for name, us in sorted(spent.items()) if us > accepted
        },
        "store_share": round(spent.get(STORE_WRITER, 0) / sum(spent.values()), 2),
        "swarm_cpu_us": round(own / accepted * 1e6, 1),
        "yardstick_ms": yardstick_ms(),
        "clients": CLIENTS,
        "under_way": UNDER_WAY,
        "sqlite": sqlite3.sqlite_version,
        "version": __version__,
    }


def run(directory: Path) -> None:
    """Measure inside the namespace."""
    os.sched_setaffinity(0, {SWARM_CPU})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    site = Site.make(directory / "gateway")
    files = enrol(site.directory, CLIENTS)
    public = gateway_public_key(site.directory)
    with site.running():
        site.wait()
        swarm = gather(files, gateway_public=public, endpoint_of=endpoint_of)
        swarm.shake_hands()
        resting = deque(swarm.members)
        for trigger in (Trigger.PLANNED, Trigger.DEATH):
            print(json.dumps(measure(site, swarm, resting, trigger)), flush=True)
        swarm.close()


def main() -> int:
    """Measure in a namespace of its own."""
    if INSIDE not in sys.argv:
        return run_inside("bench.reattach")
    with tempfile.TemporaryDirectory() as directory:
        run(Path(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
