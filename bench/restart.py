"""From exec to the first acknowledged reattach of a gateway that was killed with its sessions.

Needs root, for a namespace. A few clients keep asking, as they do in life, and jump again whenever
they are answered; the gateway is ended with `kill -9` in the midst of it. The other clients are
there as well, up to a number; the sessions of the rest wait in the store. Prints one JSON line for
each number of sessions; SESSIONS="1 1000" in the environment names others.
"""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench._site import INSIDE, SWARM_CPU, Site, endpoint_of, run_inside
from bench._swarm import Swarm, enrol, gather

from jumping_vpn.core.wire.messages import Trigger
from jumping_vpn.dataplane.keys import gateway_public_key

SESSIONS: Final = (1, 1_000, 10_000)
ROUNDS: Final = 7
ASKING: Final = 8
"""Clients that ask during a restart."""
PRESENT_MAX: Final = 1_000
AWAY_AT_ONCE: Final = 500
"""Clients that are made at a time, only to leave their session behind."""
REPEAT_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 30.0


def restart(site: Site, swarm: Swarm) -> float:
    """Kill the gateway, start it again, and return the time to the first new binding."""
    site.kill()
    began = time.monotonic()
    site.start()
    ask_at = began
    while (now := time.monotonic()) < began + PATIENCE_SECONDS:
        if now >= ask_at:
            # What comes before the socket is open is lost; a client repeats its request.
            for member in swarm.members[:ASKING]:
                member.ask(Trigger.DEATH, now=now)
            ask_at = now + REPEAT_SECONDS
        for answered in swarm.answers(ask_at - now):
            if not answered.reason:
                return time.monotonic() - began
    raise TimeoutError("no reattach was accepted")


def measure(directory: Path, sessions: int) -> dict[str, object]:
    """Return the figures for so many sessions in the store."""
    site = Site.make(directory / "gateway")
    files = enrol(site.directory, sessions)
    public = gateway_public_key(site.directory)
    with site.running():
        site.wait()
        for first in range(PRESENT_MAX, sessions, AWAY_AT_ONCE):
            away = _gathered(files[first : first + AWAY_AT_ONCE], public)
            away.close()
        swarm = _gathered(files[:PRESENT_MAX], public)
        took = [restart(site, swarm) for _ in range(ROUNDS)]
        swarm.close()
    return {
        "bench": "restart",
        "sessions": sessions,
        "first_reattach_ms": round(statistics.median(took) * 1e3),
        "best_ms": round(min(took) * 1e3),
        "worst_ms": round(max(took) * 1e3),
        "rounds": ROUNDS,
        "load": round(os.getloadavg()[0], 1),
    }


def _gathered(files: Sequence[Path], public: bytes) -> Swarm:
    swarm = gather(files, gateway_public=public, endpoint_of=endpoint_of)
    swarm.shake_hands()
    return swarm


def main() -> int:
    """Measure in a namespace of its own."""
    if INSIDE not in sys.argv:
        return run_inside("bench.restart")
    os.sched_setaffinity(0, {SWARM_CPU})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for sessions in map(int, os.environ.get("SESSIONS", "").split() or SESSIONS):
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(measure(Path(directory), sessions)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
