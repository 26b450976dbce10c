"""How long the death of a path, a planned jump and a restart of the gateway take, against bounds.

Needs root, for namespaces. `make bench NAME=failover ROUNDS=100 RTT=1,20`: one JSON line for each
fault and round trip, and with PEERS=wireguard-go,openvpn,nebula,tinc one for each of those. Times
are milliseconds, as median, 99th percentile and worst.

`detect`    from the instant at which the link swallows to the client's first request
`recover`   from there to the first datagram over the new path, each way
`writes`    how much of that is the gateway's record and the client's root on their way to the disk
`gap`       the longest silence of each one-way stream, and before the fault
`delay`     the longest way of a datagram up
"""

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bench._silent_death import PATIENCE_SECONDS, silent_death
from bench.peers.peer import Peer, PeerFailed
from bench.peers.roster import installed, vpns

from jumping_vpn.lab import topology
from jumping_vpn.lab.faults import Injected, gateway_kill, link_down, planned_jump, silent_blackhole
from jumping_vpn.lab.link import Lane, symmetric
from jumping_vpn.lab.namespaces import Lab, LabRefused, laboratory
from jumping_vpn.lab.oneway import OneWay
from jumping_vpn.lab.product import EventTail, wait_for
from jumping_vpn.lab.stage import ATTACH_SECONDS_MAX, Stage, prepare
from jumping_vpn.lab.topology import CABLE, WIFI

ROUNDS: Final = int(os.environ.get("ROUNDS", "100"))
RTTS: Final = tuple(int(each) for each in os.environ.get("RTT", "1,20").split(","))
FAULT_NAMES: Final = tuple(filter(None, os.environ.get("FAULTS", "").split(",")))
PEERS: Final = tuple(filter(None, os.environ.get("PEERS", "").split(",")))
INTERVAL_MS: Final = 5
HEARTBEAT_MS: Final = 25
RECOVER_SECONDS_MAX: Final = 20.0
SETTLE_SECONDS: Final = (0.25, 0.45)
BEFORE_NS: Final = 100_000_000
NS_PER_MS: Final = 1_000_000
POLICY: Final = """
[policy]
max_switches_per_minute = 600
switch_cooldown = 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A fault, how many of the rounds it gets, and its bounds by the round trip."""

    name: str
    inject: Callable[[Stage], Injected]
    share: float
    detect_ms_max: Callable[[int], float] | None = None
    gap_ms_max: Callable[[int], float] | None = None


KINDS: Final = (
    Kind(
        name="blackhole",
        inject=silent_blackhole,
        share=1.0,
        detect_ms_max=lambda rtt: 3 * HEARTBEAT_MS + 2 * rtt + 10,
    ),
    Kind(name="link down", inject=link_down, share=0.3, detect_ms_max=lambda _: 10),
    Kind(
        name="planned", inject=planned_jump, share=0.3, gap_ms_max=lambda rtt: 2 * INTERVAL_MS + rtt
    ),
    Kind(name="gateway restart", inject=gateway_kill, share=0.05),
)


@dataclass(slots=True)
class Sample:
    """What was measured of one kind of fault, in milliseconds, by figure."""

    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **figures: float | None) -> None:
        """Take the figures of one fault."""
        for name, value in figures.items():
            if value is not None:
                self.figures.setdefault(name, []).append(value)

    def summary(self) -> dict[str, dict[str, float]]:
        """Return median, 99th percentile and worst of each figure."""
        return {name: spread(values) for name, values in self.figures.items()}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return how values lie."""
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 1),
        "max": round(ordered[-1], 1),
        "n": len(ordered),
    }


@dataclass(slots=True)
class Watch:
    """A product in the lab, and the streams and logs that tell what happens to it."""

    stage: Stage
    up: OneWay
    down: OneWay
    client_log: EventTail
    rtt_ms: int

    def suffer(self, kind: Kind, sample: Sample) -> None:
        """Inject a fault, wait until both directions flow again, heal, and take the figures."""
        self.client_log.read()
        seen, counters = len(self.client_log.seen), self.written_us()
        ahead_ns = time.time_ns() - time.monotonic_ns()
        injected = kind.inject(self.stage)
        since = injected.since_ns

        def flows_again() -> bool:
            self.client_log.read()
            news = self.client_log.seen[seen:]
            return any(each["event_type"] == "REATTACH_SUCCESS" for each in news)

        wait_for("the next binding", flows_again, seconds_max=RECOVER_SECONDS_MAX)
        injected.heal()
        self.stage.client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
        time.sleep(random.uniform(*SETTLE_SECONDS))  # noqa: S311  so that no phase is preferred
        news = self.client_log.seen[seen:]
        asked = first_ns(news, "REATTACH_ATTEMPT", ahead_ns)
        until = time.monotonic_ns()
        sample.add(
            detect=ms_between(since, asked),
            recover_up=ms_between(asked, self.up.first_after(asked)),
            recover_down=ms_between(asked, self.down.first_after(asked)),
            gap_before=self.down.gap_ms(since - 4 * BEFORE_NS, since),
            gap_up=self.up.gap_ms(since - BEFORE_NS, until),
            gap_down=self.down.gap_ms(since - BEFORE_NS, until),
            delay_up=self.up.delay_ms(since - BEFORE_NS, until),
            **{
                name: (us - counters[name]) / 1e3
                for name, us in self.written_us().items()
                if us > counters[name]
            },
        )

    def written_us(self) -> dict[str, int]:
        """Return for how long each end has waited for its disk so far."""
        return {
            "writes_gateway": self.stage.gateway.driver_counters()["saves_us"],
            "writes_client": self.stage.client.driver_counters()["states_kept_us"],
        }


def first_ns(events: Sequence[dict[str, Any]], kind: str, ahead_ns: int) -> int:
    """Return when the first event of this type was told, monotonic ns, as late as it may be."""
    told_ms: int = next(each["ts_ms"] for each in events if each["event_type"] == kind)
    return (told_ms + 1) * NS_PER_MS - ahead_ns


def ms_between(start_ns: int, end_ns: int | None) -> float | None:
    """Return the time between two instants."""
    return None if end_ns is None else (end_ns - start_ns) / NS_PER_MS


def open_watch(lab: Lab, work: Path, rtt_ms: int) -> Watch:
    """Build the lab with two paths of this round trip, and start product and streams."""
    lane = Lane(delay_us=rtt_ms * 500)
    plans = tuple(
        replace(plan, link=symmetric(lane, seed=plan.link.seed)) for plan in (WIFI, CABLE)
    )
    stage = prepare(lab, work, plans=plans)
    with (stage.gateway.directory / "gateway.toml").open("a") as config:
        config.write(POLICY)
    stage.gateway.start()
    stage.client.start()
    status = stage.client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
    inner = next(each for each in status.addresses if ":" not in each).split("/")[0]
    client, server = stage.topology.client, stage.topology.server
    up = OneWay.start(client, server, topology.LAN_SERVER, port=6001, interval_ms=INTERVAL_MS)
    down = OneWay.start(server, client, inner, port=6001, interval_ms=INTERVAL_MS)
    wait_for("both streams", lambda: up.first_after(0) and down.first_after(0), seconds_max=10.0)
    time.sleep(1.0)
    return Watch(stage, up, down, EventTail(stage.client.events), rtt_ms)


def measure(rtt_ms: int, kind: Kind) -> dict[str, object]:
    """Return the figures of one kind of fault on paths of this round trip."""
    sample = Sample()
    with tempfile.TemporaryDirectory() as directory, laboratory("jvf") as lab:
        watch = open_watch(lab, Path(directory) / "run", rtt_ms)
        for _ in range(max(5, round(ROUNDS * kind.share))):
            watch.suffer(kind, sample)
    bounds = {"detect": kind.detect_ms_max, "gap_down": kind.gap_ms_max}
    return {
        "bench": "failover",
        "peer": "jumping-vpn",
        "fault": kind.name,
        "rtt_ms": rtt_ms,
        "interval_ms": INTERVAL_MS,
        **sample.summary(),
        "bounds": {name: bound(rtt_ms) for name, bound in bounds.items() if bound is not None},
    }


def compare(kind: type[Peer], version: str, rtt_ms: int) -> dict[str, object]:
    """Return what another VPN makes of the silent death of its path."""
    told = {"bench": "failover", "peer": kind.name, "version": version, "fault": "blackhole"}
    with tempfile.TemporaryDirectory() as directory, laboratory("jvf") as lab:
        try:
            gaps = silent_death(
                lab, Path(directory) / "peer", kind, rtt_ms=rtt_ms, interval_ms=INTERVAL_MS
            )
        except (LabRefused, PeerFailed) as error:
            gaps = {"failed": str(error)}
    return {**told, "rtt_ms": rtt_ms, "patience_s": PATIENCE_SECONDS, **gaps}


def main() -> int:
    """Measure every kind of fault on every round trip, then the other VPNs."""
    for rtt_ms in RTTS:
        for kind in KINDS:
            if not FAULT_NAMES or kind.name in FAULT_NAMES:
                print(json.dumps(measure(rtt_ms, kind)), flush=True)
    for peer, version in installed(vpns(PEERS)).items():
        print(json.dumps(compare(peer, version, RTTS[-1])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
