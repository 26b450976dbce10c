"""Interleaved rounds: each peer in turn on fresh ground, in another order each round.

What drifts on the machine drifts for all of them alike, and a ratio is taken within one round.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.measures.processor import Watch, wait_for_calm
from bench.measures.samples import Sample, read
from bench.measures.table import table
from bench.measures.traffic import TrafficFailed
from bench.peers.ground import lay
from bench.peers.peer import Peer, PeerFailed
from bench.peers.roster import EVERY, VPNS, installed, vpns

from jumping_vpn.lab.namespaces import LabRefused, interrupt_on_every_signal, laboratory

KEPT: Final = Path(__file__).parents[2] / "build" / "bench"
LAB: Final = "jvb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value of a peer."""

    name: str
    unit: str
    value: float


Measure = Callable[[Peer, float], Iterator[Figure]]
"""Yields the figures of a peer that is up; is given how many seconds each may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run compares, and for how long."""

    bench: str
    run: str
    rounds: range
    seconds: float
    peers: dict[type[Peer], str] = field(default_factory=dict)

    def order(self, number: int) -> list[type[Peer]]:
        """Return the peers in the order of a round: each begins once, and neighbours change."""
        every = list(self.peers)
        start = number % len(every)
        turned = every[start:] + every[:start]
        return turned if number % 2 else turned[::-1]


def plan(
    bench: str, ours: Sequence[type[Peer]], arguments: Sequence[str], *, seconds: float
) -> Plan:
    """Return what the command line asks for: ours, and the VPNs that it names."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {bench}")
    known = ",".join(each.name for each in VPNS)
    parser.add_argument("--peers", default=known, help=f"which of {known}; none: only ours")
    parser.add_argument("--only", default="", help="nothing but these, ours as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each single figure")
    parser.add_argument("--run", default="", help="the name of a run that this one continues")
    asked = parser.parse_args(arguments)
    names = [each.strip() for each in asked.peers.split(",") if each.strip() not in ("", "none")]
    compared = installed((*ours, *vpns(names)))
    for missing in {*ours, *vpns(names)} - compared.keys():
        print(f"{missing.name} is not here and is left out", flush=True)
    only = [each.strip() for each in asked.only.split(",") if each.strip()]
    first = _rounds_of(bench, asked.run) + 1
    return Plan(
        bench=bench,
        run=asked.run or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        rounds=range(first, first + asked.rounds),
        seconds=asked.seconds,
        peers={
            each: version for each, version in compared.items() if not only or each.name in only
        },
    )


def compare(wanted: Plan, measure: Measure) -> int:
    """Perform a plan as a program: whatever interrupts it, nothing is left behind."""
    interrupt_on_every_signal()
    perform(wanted, measure)
    return 0


def perform(wanted: Plan, measure: Measure, *, before: Sequence[Sample] = ()) -> None:
    """Measure every peer in every round, print what was measured, and a table at the end.

    `before` was measured by other means.
    """
    samples = read(KEPT / f"{wanted.bench}.jsonl", run=wanted.run)
    print(f"run {wanted.run}: rounds {wanted.rounds.start} to {wanted.rounds.stop - 1}", flush=True)
    for sample in before:
        print(sample.line(), flush=True)
        samples.append(sample)
    for number in wanted.rounds:
        for peer in wanted.order(number):
            began = time.monotonic()
            for sample in _visit(wanted, number, peer, measure):
                print(sample.line(), flush=True)
                samples.append(sample)
            took = time.monotonic() - began
            print(f"# round {number}: {peer.name} took {took:.0f} s", flush=True)
    print(table(samples, order=tuple(EVERY)), flush=True)


def _visit(wanted: Plan, number: int, kind: type[Peer], measure: Measure) -> Iterator[Sample]:
    wait_for_calm()
    with laboratory(LAB) as lab, tempfile.TemporaryDirectory(prefix="jvb") as directory:
        peer = kind(lay(lab, Path(directory) / "peer"))
        try:
            peer.start()
            watch, why = Watch.begin(), ""
            for figure in measure(peer, wanted.seconds):
                # Figures of one flow come at once: they share what was seen while it ran.
                if watch.is_worn():
                    why, watch = watch.doubt(), Watch.begin()
                yield Sample(
                    bench=wanted.bench,
                    run=wanted.run,
                    round=number,
                    peer=kind.name,
                    version=wanted.peers[kind],
                    figure=figure.name,
                    unit=figure.unit,
                    value=round(figure.value, 3),
                    trusted=not why,
                    doubt=why,
                )
        except (LabRefused, PeerFailed, TrafficFailed) as error:
            print(f"# round {number}: {kind.name} gave no figure: {error}", flush=True)
        finally:
            peer.stop()


def _rounds_of(bench: str, run: str) -> int:
    if not run:
        return 0
    return max((each.round for each in read(KEPT / f"{bench}.jsonl", run=run)), default=0)
