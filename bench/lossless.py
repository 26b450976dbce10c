"""Jumps of every cause under heavy traffic: nothing twice, nothing lost beyond what events tell.

Needs root, for namespaces. `make bench NAME=lossless JUMPS=1000 MBIT=200`: half of the traffic is
TCP, half numbered UDP, and half goes each way. One JSON line for each piece of jumps, each with a
product, a lab and a session of its own.

The links lose nothing but what runs into a fault, so what arrived can be counted against what was
sent: the numbers of the datagrams name what is missing, the counters of both engines say the same
of every inner packet, and the events of the jumps say what retention gave up.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from jumping_vpn.lab import topology
from jumping_vpn.lab.faults import (
    Injected,
    link_down,
    one_way_blackhole,
    planned_jump,
    silent_blackhole,
)
from jumping_vpn.lab.flood import Bulk, Datagrams, Received
from jumping_vpn.lab.link import LinkSettings
from jumping_vpn.lab.namespaces import Lab, Namespace, laboratory
from jumping_vpn.lab.product import EventTail, wait_for
from jumping_vpn.lab.stage import ATTACH_SECONDS_MAX, Stage, prepare
from jumping_vpn.lab.topology import CABLE, WIFI
from jumping_vpn.observe.audit import verify

JUMPS: Final = int(os.environ.get("JUMPS", "1000"))
MBIT: Final = float(os.environ.get("MBIT", "200"))
SEED: Final = int(os.environ.get("SEED", "1"))
PIECE: Final = 100
PLANS: Final = (replace(WIFI, offloads=True), replace(CABLE, offloads=True))
"""A fault swallows a bundle as it does a packet, and the machine has time for twice as many."""
JUMP_SECONDS_MAX: Final = 20.0
SETTLE_SECONDS: Final = 0.3
DRAIN_SECONDS: Final = 2.5
LAST_JUMPS: Final = 2
LATENCY_US: Final = 80_000
POLICY: Final = """
[policy]
max_switches_per_minute = 600
switch_cooldown = 0
"""


def one_way_up(stage: Stage) -> Injected:
    """Swallow only what comes from the client."""
    path = stage.active()
    since = path.link.block(up=True, down=False)
    return Injected(since_ns=since, heal=lambda: unblock(path.link.configure, path.plan.link))


def quality(stage: Stage) -> Injected:
    """Make the active path ten times slower, without losing anything."""
    path = stage.active()
    before = path.plan.link
    slow = replace(
        before,
        up=replace(before.up, delay_us=LATENCY_US, in_order=True),
        down=replace(before.down, delay_us=LATENCY_US, in_order=True),
    )
    return Injected(
        since_ns=path.link.configure(slow), heal=lambda: unblock(path.link.configure, before)
    )


def rebinding(stage: Stage) -> Injected:
    """Let the router of the active path forget its translation and take ports never used."""
    path, first = stage.active(), 20_000 + 100 * random.randrange(400)  # noqa: S311  a port
    since = time.monotonic_ns()
    path.rebind(ports=f"{first}-{first + 99}")
    return Injected(since_ns=since, heal=lambda: None)


def unblock(configure: Callable[[LinkSettings], int], settings: LinkSettings) -> None:
    """Give a link its settings back."""
    configure(settings)


CAUSES: Final[dict[str, Callable[[Stage], Injected]]] = {
    "blackhole": silent_blackhole,
    "link down": link_down,
    "one-way down": one_way_blackhole,
    "one-way up": one_way_up,
    "NAT rebinding": rebinding,
    "planned": planned_jump,
    "quality": quality,
}
APART: Final = ("quality", "planned")
"""Not in one piece: a path that a person left is not chosen for its quality soon after."""
WEIGHTS: Final = {"quality": 1, "NAT rebinding": 2}
"""The others come three times each in a round; a jump for quality takes seconds."""


@dataclass(slots=True)
class Traffic:
    """Everything that flows through the tunnel."""

    datagrams: dict[str, Datagrams]
    bulks: dict[str, Bulk]

    @classmethod
    def start(cls, stage: Stage, inner: str) -> "Traffic":
        """Start a quarter of the traffic in each direction and kind."""
        client, server = stage.topology.client, stage.topology.server
        ways = {"up": (client, server, topology.LAN_SERVER), "down": (server, client, inner)}
        return cls(
            datagrams={
                way: Datagrams.start(*ends, port=6001, mbit=MBIT / 4) for way, ends in ways.items()
            },
            bulks={way: Bulk.start(*ends, port=6002, mbit=MBIT / 4) for way, ends in ways.items()},
        )


def run_piece(lab: Lab, work: Path, jumps: int, seed: int) -> dict[str, object]:
    """Make so many jumps under traffic and return the account."""
    stage = prepare(lab, work, plans=PLANS)
    with (stage.gateway.directory / "gateway.toml").open("a") as config:
        config.write(POLICY)
    stage.gateway.start()
    stage.client.start()
    status = stage.client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
    inner = next(each for each in status.addresses if ":" not in each).split("/")[0]
    log = EventTail(stage.gateway.events)
    log.read()
    traffic = Traffic.start(stage, inner)
    began = time.monotonic()
    made, took_ms = Counter[str](), dict[str, list[int]]()
    chance = random.Random(seed)  # noqa: S311  a sequence of faults
    causes = [
        name
        for name in CAUSES
        for _ in range(WEIGHTS.get(name, 3))
        if name != APART[seed % len(APART)]
    ]
    while made.total() < jumps:
        for name in chance.sample(causes, len(causes)):
            took_ms.setdefault(name, []).append(jump(stage, log, name))
            made[name] += 1
    seconds = time.monotonic() - began
    mbit = {way: round(bulk.received() * 8e-6 / seconds, 1) for way, bulk in traffic.bulks.items()}
    for bulk in traffic.bulks.values():
        bulk.stop()
    sent = {way: flow.stop() for way, flow in traffic.datagrams.items()}
    for _ in range(LAST_JUMPS):
        # What is still retained is delivered by a jump or gives up; the next jump tells that.
        time.sleep(DRAIN_SECONDS)
        jump(stage, log, "planned")
    counted = {way: flow.count() for way, flow in traffic.datagrams.items()}
    books = ledger(stage)
    told = told_lost(log)
    doubled = sum(each.duplicated for each in counted.values())
    return {
        "bench": "lossless",
        "held": books.agree_with(told) and not doubled,
        "jumps": made.total() + LAST_JUMPS,
        "causes": dict(sorted(made.items())),
        "seconds": round(seconds, 1),
        "jump_ms": {name: [sorted(ms)[len(ms) // 2], max(ms)] for name, ms in took_ms.items()},
        "udp_mbit": MBIT / 2,
        "tcp_mbit": mbit,
        "wrong_bulk": sum(bulk.wrong for bulk in traffic.bulks.values()),
        "datagrams_sent": sent,
        "datagrams_lost": {way: sent[way] - unique(each) for way, each in counted.items()},
        "datagrams_duplicated": {way: each.duplicated for way, each in counted.items()},
        "datagrams_late": {way: each.late for way, each in counted.items()},
        "given_up_by_events": told,
        "given_up_by_cause": told_causes(log),
        **asdict(books),
        "audit_violations": verify(stage.gateway.events).violations,
        "seed": seed,
    }


def unique(counted: Received) -> int:
    """Return how many numbers arrived."""
    return counted.received - counted.duplicated


def jump(stage: Stage, log: EventTail, cause: str) -> int:
    """Inject a fault, wait until the session has jumped, heal, and let both paths answer again.

    Returns how many milliseconds after the fault the gateway decided the first jump.
    """
    log.read()
    before = len(log.seen)
    ahead_ms = (time.time_ns() - time.monotonic_ns()) / 1e6
    injected = CAUSES[cause](stage)

    def look() -> dict[str, Any] | None:
        log.read()
        news = (each for each in log.seen[before:] if each["event_type"] == "TRANSPORT_SWITCH")
        return next(news, None)

    switched = wait_for(f"a jump for {cause}", look, seconds_max=JUMP_SECONDS_MAX)
    injected.heal()
    stage.client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
    time.sleep(SETTLE_SECONDS)
    switched_ms: int = switched["ts_ms"]
    return round(switched_ms - ahead_ms - injected.since_ns / 1e6)


def told_lost(log: EventTail) -> dict[str, int]:
    """Return what the events of the jumps say was given up or left in doubt, each way."""
    log.read()
    switches = [each for each in log.seen if each["event_type"] == "TRANSPORT_SWITCH"]
    handovers = [each["data"]["handover"] for each in switches if each["data"]["handover"]]
    return {
        way: sum(each[f"given_up_{way}"] + each[f"in_doubt_{way}"] for each in handovers)
        for way in ("up", "down")
    }


def told_causes(log: EventTail) -> dict[str, int]:
    """Return the same by the cause of the jump."""
    told = Counter[str]()
    for event in log.seen:
        handover = event["data"].get("handover")
        if event["event_type"] == "TRANSPORT_SWITCH" and handover:
            told[handover["cause"]] += handover["given_up_up"] + handover["given_up_down"]
    return {cause: count for cause, count in sorted(told.items()) if count}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the engines say of every inner packet each way, and what kernels and links dropped."""

    engine_lost: dict[str, int]
    engine_given_up: dict[str, int]
    resent: dict[str, int]
    replayed: dict[str, int]
    kernel_dropped: dict[str, dict[str, int]]
    links_overflowed: int

    def agree_with(self, told: dict[str, int]) -> bool:
        """Say whether events tell what was given up, and nothing beyond that was lost."""
        within = all(lost <= self.engine_given_up[way] for way, lost in self.engine_lost.items())
        return within and told == self.engine_given_up


def ledger(stage: Stage) -> Ledger:
    """Ask both engines, the kernels and the links."""
    client, gateway = stage.client.counters(), stage.gateway.counters()
    hosts = stage.topology
    return Ledger(
        engine_lost={
            "up": client["sealed"] - gateway["delivered"],
            "down": gateway["sealed"] - client["delivered"],
        },
        engine_given_up={"up": client["given_up"], "down": gateway["given_up"]},
        resent={"up": client["resent"], "down": gateway["resent"]},
        replayed={"up": gateway["replayed"], "down": client["replayed"]},
        kernel_dropped={
            "client": kernel_dropped(hosts.client),
            "gateway": kernel_dropped(hosts.gateway),
            "lan": kernel_dropped(hosts.server),
        },
        links_overflowed=sum(path.link.counters()["overflowed"] for path in hosts.paths),
    )


def kernel_dropped(namespace: Namespace) -> dict[str, int]:
    """Return what sockets and interfaces of a host dropped because a buffer was full."""
    snmp = namespace.run("cat", "/proc/net/snmp").splitlines()
    names, values = (line.split()[1:] for line in snmp if line.startswith("Udp:"))
    sockets = dict(zip(names, map(int, values), strict=True))
    links = json.loads(namespace.run("ip", "-json", "-stats", "link"))
    dropped = {
        link["ifname"]: link["stats64"]["tx"]["dropped"] + link["stats64"]["rx"]["dropped"]
        for link in links
    }
    return {
        "sockets": sockets["RcvbufErrors"] + sockets["SndbufErrors"],
        **{name: count for name, count in dropped.items() if count},
    }


def main() -> int:
    """Measure piece by piece; 1 if something was lost that no event tells, or came twice."""
    held = True
    for number in range((JUMPS + PIECE - 1) // PIECE):
        jumps = min(PIECE, JUMPS - number * PIECE)
        with tempfile.TemporaryDirectory() as directory, laboratory("jvl") as lab:
            account = run_piece(lab, Path(directory) / "run", jumps, SEED + number)
        print(json.dumps(account), flush=True)
        held &= bool(account["held"])
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
