"""Throughput, small packets and latency, in one visit to each peer: what the page on speed shows.

Needs root, for namespaces. It measures what the measurements of these names do, and starts each
peer but once in a round.
"""

import sys
from collections.abc import Iterator

from bench.measures.rounds import Figure, compare, plan
from bench.peers.peer import Peer
from bench.peers.roster import BOUNDS, OURS

from bench import latency, smallpackets, throughput

SECONDS = 2.0


def figures(peer: Peer, seconds: float) -> Iterator[Figure]:
    """Yield every figure: the echoes first, while nothing has warmed the tunnel up."""
    yield from latency.figures(peer, seconds)
    yield from throughput.figures(peer, seconds)
    yield from smallpackets.figures(peer, seconds)


def main() -> int:
    """Compare."""
    wanted = plan("comparison", (*OURS, *BOUNDS), sys.argv[1:], seconds=SECONDS)
    return compare(wanted, figures)


if __name__ == "__main__":
    sys.exit(main())
