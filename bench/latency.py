"""Round trips of echoes through an idle tunnel, beside other VPNs: p50 and p99.

Needs root, for namespaces. One echo is under way at a time, a few milliseconds apart, and the
prober sleeps in between: what is measured is how soon a tunnel answers that nothing keeps awake.
"""

import sys
from collections.abc import Iterator
from typing import Final

from bench.measures.rounds import Figure, compare, plan
from bench.measures.traffic import echoes
from bench.peers.peer import Peer
from bench.peers.roster import BOUNDS, OURS

SECONDS = 6.0
INTERVAL_US: Final = 3_000


def figures(peer: Peer, seconds: float) -> Iterator[Figure]:
    """Yield the middle and the tail of the round trips, and how many echoes were lost."""
    told = echoes(peer, count=round(seconds * 1e6 / INTERVAL_US), interval_us=INTERVAL_US)
    yield Figure(name="ping p50", unit="us", value=told.p50_us)
    yield Figure(name="ping p99", unit="us", value=told.p99_us)
    yield Figure(name="ping lost", unit="echoes", value=told.lost)


def main() -> int:
    """Compare."""
    wanted = plan("latency", (*OURS, *BOUNDS), sys.argv[1:], seconds=SECONDS)
    return compare(wanted, figures)


if __name__ == "__main__":
    sys.exit(main())
