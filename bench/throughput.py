"""Bulk through the tunnel beside other VPNs: TCP of one and four streams, QUIC-like UDP, the cost.

Needs root, for namespaces. `--peers` names the VPNs to compare with, `make bench-peers` installs
them. Each peer has fresh ground in each round.
"""

import sys
from collections.abc import Iterator

from bench.measures.rounds import Figure, compare, plan
from bench.measures.traffic import (
    GIGABYTE,
    QUIC_BYTES,
    QUIC_DATAGRAMS,
    Direction,
    datagrams,
    tcp,
)
from bench.peers.peer import Peer
from bench.peers.roster import BOUNDS, OURS

SECONDS = 2.0


def figures(peer: Peer, seconds: float) -> Iterator[Figure]:
    """Yield what goes through, and for one stream what it costs."""
    for way in Direction:
        flow = tcp(peer, way, streams=1, seconds=seconds)
        gigabytes = flow.bytes / GIGABYTE
        yield Figure(name=f"TCP 1 {way}", unit="Mbit/s", value=flow.mbit_per_s)
        yield Figure(name=f"TCP 1 {way} cost", unit="s/GB", value=flow.cost.peer / gigabytes)
        yield Figure(name=f"TCP 1 {way} machine", unit="s/GB", value=flow.cost.machine / gigabytes)
    for way in Direction:
        flow = tcp(peer, way, streams=4, seconds=seconds)
        yield Figure(name=f"TCP 4 {way}", unit="Mbit/s", value=flow.mbit_per_s)
    for way in Direction:
        flow = datagrams(peer, way, size=QUIC_BYTES, at_once=QUIC_DATAGRAMS, seconds=seconds)
        yield Figure(name=f"UDP 1350 {way}", unit="Mbit/s", value=flow.mbit_per_s)


def main() -> int:
    """Compare."""
    wanted = plan("throughput", (*OURS, *BOUNDS), sys.argv[1:], seconds=SECONDS)
    return compare(wanted, figures)


if __name__ == "__main__":
    sys.exit(main())
