"""What many idle sessions cost: throughput beside 10,000 of them, and the memory of one.

Needs root, for namespaces. The sessions are made by real handshakes; their clients then fall silent
under a policy that keeps the bindings, so that nothing but the gateway is measured.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from bench.measures.goals import CORE
from bench.measures.rounds import Figure, Plan, perform, plan
from bench.measures.samples import Sample
from bench.measures.traffic import Direction, tcp
from bench.peers.crowd import Crowded
from bench.peers.jump import Jump
from bench.peers.peer import Peer
from bench.peers.plain import EXAMPLES

from jumping_vpn.lab.namespaces import interrupt_on_every_signal

SECONDS: Final = 3.0
IDLE: Final = 10_000


def figures(peer: Peer, seconds: float) -> Iterator[Figure]:
    """Yield what goes through one session, and what all of them take of the gateway's memory."""
    for way in Direction:
        flow = tcp(peer, way, streams=1, seconds=seconds)
        yield Figure(name=f"TCP 1 {way}", unit="Mbit/s", value=flow.mbit_per_s)
    if isinstance(peer, Crowded):
        grown = (peer.full_kib - peer.empty_kib) * 1024 / peer.crowd
        yield Figure(name="process memory of a session", unit="bytes", value=grown)


def memory(wanted: Plan) -> Sample:
    """Return the memory of one idle session in the Rust core alone."""
    done = subprocess.run(
        (str(EXAMPLES / "idle_sessions"), str(IDLE)), check=True, capture_output=True, text=True
    )
    return Sample(
        bench=wanted.bench,
        run=wanted.run,
        round=wanted.rounds.start,
        peer=CORE,
        version=Jump.version() or "",
        figure="memory of a session",
        unit="bytes",
        value=json.loads(done.stdout)["bytes_per_session"],
    )


def main() -> int:
    """Compare."""
    interrupt_on_every_signal()
    wanted = plan("sessions", (Jump, Crowded), ["--peers", "none", *sys.argv[1:]], seconds=SECONDS)
    perform(wanted, figures, before=(memory(wanted),))
    return 0


if __name__ == "__main__":
    sys.exit(main())
