"""Where the product's processor time goes, for each byte of bulk and for each small packet.

Needs root and `perf`. Both ends are sampled together while bulk TCP or a flood of small datagrams
goes up; the shares are scaled to the processor time that the two processes took.
"""

import sys
from collections import Counter
from collections.abc import Iterator

from bench.measures.profile import record
from bench.measures.rounds import Figure, compare, plan
from bench.measures.traffic import GIGABYTE, SMALL_BYTES, Direction, datagrams, tcp
from bench.peers.jump import Jump
from bench.peers.peer import Peer

SECONDS = 4.0


def figures(peer: Peer, seconds: float) -> Iterator[Figure]:
    """Yield what each kind of work costs."""
    pids = tuple(peer.processes().values())
    flow, kinds = record(pids, lambda: tcp(peer, Direction.UP, streams=1, seconds=seconds))
    yield from _costs("TCP 1 up", "s/GB", kinds, flow.cost.peer / flow.bytes * GIGABYTE)
    flow, kinds = record(
        pids,
        lambda: datagrams(peer, Direction.UP, size=SMALL_BYTES, at_once=1, seconds=seconds),
    )
    packets = flow.packets_per_s * (seconds + flow.extra_seconds)
    yield from _costs("UDP 200 up", "us/packet", kinds, flow.cost.peer / packets * 1e6)


def _costs(what: str, unit: str, kinds: Counter[str], whole: float) -> Iterator[Figure]:
    total = kinds.total() or 1
    for kind, samples in kinds.most_common():
        yield Figure(name=f"{what}: {kind}", unit=unit, value=whole * samples / total)


def main() -> int:
    """Profile."""
    wanted = plan("profile", (Jump,), ["--peers", "none", *sys.argv[1:]], seconds=SECONDS)
    return compare(wanted, figures)


if __name__ == "__main__":
    sys.exit(main())
