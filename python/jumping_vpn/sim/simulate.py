"""`make sim`: seeded worlds in virtual time, each twice in two processes, and what was found.

python -m jumping_vpn.sim.simulate --seeds 2000         from seed 1 on
python -m jumping_vpn.sim.simulate --seed 42            one, with its story, shrunk where it fails
"""

import argparse
import gc
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
from msgspec.structs import replace

from jumping_vpn.sim.virtual.landmarks import REQUIRED
from jumping_vpn.sim.virtual.scenario import scenario_of
from jumping_vpn.sim.virtual.shrink import shrunk
from jumping_vpn.sim.virtual.world import Report, play

FOUND: Final = 1
LANDMARKS_FROM: Final = 2_000
"""So many seeds and every landmark must be among them."""
CHUNK: Final = 1_000
"""Seeds that one process plays."""
TOLD_MAX: Final = 5
DIFFER: Final = "two runs of this seed differ"
COLLECT_EVERY: Final = 20
"""Worlds between two collections of garbage: a world that ended is one large cycle."""


class Line(msgspec.Struct, frozen=True):
    """What a process tells of a seed; `landmarks` are those since the line before."""

    seed: int
    digest: str
    findings: list[str]
    landmarks: dict[str, int]


def tell_seeds(first: int, count: int) -> None:
    """Play seeds one after the other, and write a line of JSON about each."""
    gc.collect()
    gc.freeze()
    gc.disable()
    for seed in range(first, first + count):
        report = play(scenario_of(seed))
        line = Line(seed, report.digest, report.findings, dict(report.landmarks))
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        if seed % COLLECT_EVERY == 0:
            gc.collect()
    sys.stdout.flush()


def twice(first: int, count: int) -> Iterator[tuple[Line, Line]]:
    """Play each seed in two processes, whose sets and dictionaries have different orders."""
    end = first + count
    with ThreadPoolExecutor(2) as pool:
        for start in range(first, end, CHUNK):
            few = min(CHUNK, end - start)
            one, other = (pool.submit(_listened, start, few, salt) for salt in ("1", "2"))
            yield from zip(one.result(), other.result(), strict=True)


def main() -> int:
    """Simulate, say what was found, and return 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=2_000, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--landmarks", action="store_true", help="list what happened, how often")
    parser.add_argument("--tell", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.tell:
        tell_seeds(arguments.first, arguments.seeds)
        return 0
    if arguments.seed is not None:
        return _tell_one(arguments.seed)
    return _judge(arguments.first, arguments.seeds, listed=arguments.landmarks)


def _judge(first: int, count: int, *, listed: bool) -> int:
    began, landmarks = time.monotonic(), Counter[str]()
    failed: list[Line] = []
    for one, other in twice(first, count):
        landmarks.update(one.landmarks)
        differing = [DIFFER] if one.digest != other.digest else []
        if differing or one.findings:
            failed.append(replace(one, findings=[*differing, *one.findings]))
            if len(failed) <= TOLD_MAX:
                _tell_failure(failed[-1])
    missing = sorted(REQUIRED - landmarks.keys()) if count >= LANDMARKS_FROM else []
    for name, times in sorted(landmarks.items()) if listed else ():
        _say(f"{times:>9,}  {name}")
    for name in missing:
        _say(f"never happened in {count:,} seeds: {name}")
    _say(
        f"{count:,} worlds, each twice, in {time.monotonic() - began:.0f} s: {len(failed)} failed,"
        f" {len(landmarks):,} landmarks seen, {len(missing)} of {len(REQUIRED)} missing"
    )
    return FOUND if failed or missing else 0


def _tell_failure(line: Line) -> None:
    _say(f"seed {line.seed} FAILED; again, with its story: make sim SEED={line.seed}")
    for finding in line.findings:
        _say(f"    {finding}")


def _tell_one(seed: int) -> int:
    """Play a seed twice with its story; where it fails, tell the smallest scenario that does."""
    report, again = play(scenario_of(seed), telling=True), play(scenario_of(seed))
    if report.digest != again.digest:
        report.findings.append(DIFFER)
    elif report.findings:
        smallest = shrunk(report)
        report = play(smallest.scenario, telling=True)
    _say("\n".join((str(report.scenario.policy), *report.story)))
    _tell_report(report)
    return FOUND if report.findings else 0


def _tell_report(report: Report) -> None:
    scenario = report.scenario
    _say(
        f"seed {scenario.seed}: {scenario.clients} clients, {scenario.interfaces} interfaces each,"
        f" {len(scenario.faults)} faults, digest {report.digest}"
    )
    for fault in scenario.faults:
        _say(f"  {fault}")
    for finding in report.findings or ["nothing is broken"]:
        _say(f"  {finding}")


def _listened(first: int, count: int, salt: str) -> Sequence[Line]:
    command = (sys.executable, "-m", __spec__.name, "--tell")
    done = subprocess.run(
        (*command, "--first", str(first), "--seeds", str(count)),
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": salt},
    )
    decode = msgspec.json.Decoder(Line).decode
    return [decode(line) for line in done.stdout.splitlines()]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
