"""What a TCP connection makes of an outage and of a jump onto a slow path.

Needs root, for namespaces. `make bench NAME=outage SECONDS=30`: one JSON line for each case.

`darkness`  every path is dead for that long. How soon after a path's return does bulk arrive again,
            each way, with what retention keeps and without it?
`slow path` a fast path dies under bulk; the other one has 20 Mbit/s and a queue of 50 packets. What
            overflows there, what arrives, and how long is the longest silence?
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from jumping_vpn.lab import topology
from jumping_vpn.lab.flood import Bulk
from jumping_vpn.lab.link import Lane, symmetric
from jumping_vpn.lab.namespaces import laboratory
from jumping_vpn.lab.product import wait_for
from jumping_vpn.lab.stage import ATTACH_SECONDS_MAX, Stage, prepare
from jumping_vpn.lab.topology import CABLE, WIFI, PathPlan

DARK_SECONDS: Final = float(os.environ.get("SECONDS", "30"))
ROUNDS: Final = int(os.environ.get("ROUNDS", "3"))
FLOWING_SECONDS: Final = 3.0
PATIENCE_SECONDS: Final = 60.0
SLOW: Final = Lane(delay_us=10_000, rate_bit=20_000_000, queue_packets=50)
FAST: Final = Lane(delay_us=5_000)
OBSERVED_SECONDS: Final = 5
MBIT: Final = 100.0
NS: Final = 1_000_000_000
WITHOUT_RETENTION: Final = "\n[policy]\nretain_time = 0\nretain_bytes = 0\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A product under bulk in both directions."""

    stage: Stage
    bulks: dict[str, Bulk]


@contextmanager
def running(policy: str, wifi: Lane, cable: Lane, ways: tuple[str, ...]) -> Iterator[Running]:
    """Run the product on two such paths, with bulk these ways."""
    plans: tuple[PathPlan, ...] = (
        replace(WIFI, link=symmetric(wifi, seed=1)),
        replace(CABLE, link=symmetric(cable, seed=2)),
    )
    with tempfile.TemporaryDirectory() as directory, laboratory("jvo") as lab:
        stage = prepare(lab, Path(directory) / "run", plans=plans)
        with (stage.gateway.directory / "gateway.toml").open("a") as config:
            config.write(policy)
        stage.gateway.start()
        stage.client.start()
        status = stage.client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
        inner = next(each for each in status.addresses if ":" not in each).split("/")[0]
        client, server = stage.topology.client, stage.topology.server
        ends = {"up": (client, server, topology.LAN_SERVER), "down": (server, client, inner)}
        bulks = {way: Bulk.start(*ends[way], port=6002, mbit=MBIT) for way in ways}
        time.sleep(FLOWING_SECONDS)
        yield Running(stage=stage, bulks=bulks)


def darkness(policy: str) -> dict[str, float]:
    """Return how long after the first path's return bulk arrives again, each way, in seconds."""
    with running(policy, FAST, FAST, ("up", "down")) as run:
        paths = run.stage.topology.paths
        for path in paths:
            path.link.block(up=True, down=True)
        time.sleep(DARK_SECONDS)
        back_ns = paths[0].link.block(up=False, down=False)

        def flows() -> bool:
            return all(bulk.first_after(back_ns) for bulk in run.bulks.values())

        wait_for("bulk again", flows, seconds_max=PATIENCE_SECONDS)
        time.sleep(FLOWING_SECONDS)
        first = {way: bulk.first_after(back_ns) or 0 for way, bulk in run.bulks.items()}
        flowing = {
            f"{way}_mbit_next_2_s": round(bulk.mbit(first[way], first[way] + 2 * NS), 1)
            for way, bulk in run.bulks.items()
        }
        return {way: round((at - back_ns) / NS, 2) for way, at in first.items()} | flowing


def slow_path() -> dict[str, object]:
    """Return what a jump from a fast path onto the slow one does to bulk down."""
    with running("", FAST, SLOW, ("down",)) as run:
        bulk, stage = run.bulks["down"], run.stage
        before = bulk.received()
        fast, slow = stage.topology.path("wifi"), stage.topology.path("cable")
        counted, engine = slow.link.counters(), stage.gateway.counters()
        dead_ns = fast.link.block(up=True, down=True)
        time.sleep(OBSERVED_SECONDS + 1)
        after, engine_after = slow.link.counters(), stage.gateway.counters()
        first_ns = bulk.first_after(dead_ns + NS // 20) or dead_ns
        seconds = [first_ns + second * NS for second in range(OBSERVED_SECONDS + 1)]
        return {
            "bytes_before": before,
            "overflowed": after["overflowed"] - counted["overflowed"],
            "forwarded": after["forwarded"] - counted["forwarded"],
            "resent": engine_after["resent"] - engine["resent"],
            "longest_silence_ms": round(bulk.silence_ns(dead_ns - NS // 10, seconds[-1]) / 1e6),
            "goodput_mbit_by_second": [
                round(bulk.mbit(start, start + NS), 1) for start in seconds[:-1]
            ],
        }


def main() -> int:
    """Measure each case."""
    for name, policy in (("retention", ""), ("no retention", WITHOUT_RETENTION)):
        for _ in range(ROUNDS if policy == "" else 1):
            told = {"bench": "outage", "case": "darkness", "dark_s": DARK_SECONDS, "with": name}
            print(json.dumps({**told, **darkness(policy)}), flush=True)
    for _ in range(ROUNDS):
        print(json.dumps({"bench": "outage", "case": "slow path", **slow_path()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
