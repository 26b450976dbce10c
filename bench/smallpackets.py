"""Datagrams of 200 B that arrive each second under a flood, beside other VPNs.

Needs root, for namespaces. The sender is never told to slow down: what a VPN cannot take is lost.
"""

import sys
from collections.abc import Iterator

from bench.measures.rounds import Figure, compare, plan
from bench.measures.traffic import SMALL_BYTES, Direction, datagrams
from bench.peers.peer import Peer
from bench.peers.roster import BOUNDS, OURS

SECONDS = 2.0


def figures(peer: Peer, seconds: float) -> Iterator[Figure]:
    """Yield what arrives in each direction."""
    for way in Direction:
        flow = datagrams(peer, way, size=SMALL_BYTES, at_once=1, seconds=seconds)
        yield Figure(name=f"UDP 200 {way}", unit="packets/s", value=flow.packets_per_s)


def main() -> int:
    """Compare."""
    wanted = plan("smallpackets", (*OURS, *BOUNDS), sys.argv[1:], seconds=SECONDS)
    return compare(wanted, figures)


if __name__ == "__main__":
    sys.exit(main())
