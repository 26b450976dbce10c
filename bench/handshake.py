"""Sessions per second of one gateway on one core whose clients all shake hands at once.

Needs root, for a namespace. Prints one JSON line for each number of clients: when the last of them
had its session, and what one handshake costs the gateway: Noise, the proof, a durable save.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench._site import INSIDE, SWARM_CPU, Site, endpoint_of, run_inside
from bench._swarm import enrol, gather

from jumping_vpn.dataplane.keys import gateway_public_key

CLIENTS: Final = (16, 256, 768)


def measure(directory: Path, clients: int) -> dict[str, object]:
    """Return the figures of so many clients that come at once."""
    site = Site.make(directory / "gateway")
    files = enrol(site.directory, clients)
    public = gateway_public_key(site.directory)
    with site.running():
        site.wait()
        swarm = gather(files, gateway_public=public, endpoint_of=endpoint_of)
        threads, began = site.cpu_us(), time.monotonic()
        waited = sorted(swarm.shake_hands(at_once=clients))
        wall = time.monotonic() - began
        spent = {name: us - threads.get(name, 0) for name, us in site.cpu_us().items()}
        swarm.close()
    return {
        "bench": "handshake",
        "clients": clients,
        "sessions_per_s": round(clients / wall),
        "cpu_us_per_session": round(sum(spent.values()) / clients),
        "cpu_us_by_thread": {
            name: round(us / clients) for name, us in sorted(spent.items()) if us > clients
        },
        "p50_ms": round(waited[clients // 2] * 1e3),
        "last_ms": round(waited[-1] * 1e3),
    }


def main() -> int:
    """Measure in a namespace of its own."""
    if INSIDE not in sys.argv:
        return run_inside("bench.handshake")
    os.sched_setaffinity(0, {SWARM_CPU})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for clients in CLIENTS:
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(measure(Path(directory), clients)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
