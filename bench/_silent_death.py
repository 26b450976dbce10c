"""What other VPNs make of the silent death of a path, in the lab of the product's own figures.

Their tunnel follows the kernel's routes, and no route knows that a path is dead. So that they have
a chance, both paths are the default route at once, and each new socket of theirs may draw the
other one. Each is asked for the quickest detection that its settings reasonably allow.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.peers.peer import Ground, Peer, PeerFailed

from jumping_vpn.lab import topology
from jumping_vpn.lab.link import Lane, symmetric
from jumping_vpn.lab.namespaces import Lab
from jumping_vpn.lab.oneway import OneWay
from jumping_vpn.lab.topology import CABLE, WIFI, LabPath, Topology

PATIENCE_SECONDS: Final = 45.0
POLL_SECONDS: Final = 0.1
FLOWING_SECONDS: Final = 2.0
NS_PER_SECOND: Final = 1_000_000_000


def silent_death(
    lab: Lab, work: Path, kind: type[Peer], *, rtt_ms: int, interval_ms: int
) -> dict[str, object]:
    """Return for how long each way was silent, None where it was still silent at the end."""
    lane = Lane(delay_us=rtt_ms * 500)
    plans = tuple(
        replace(plan, link=symmetric(lane, seed=plan.link.seed)) for plan in (WIFI, CABLE)
    )
    built = topology.build(lab, plans)
    _use_both(built)
    ground = Ground(
        client=built.client, gateway=built.gateway, gateway_address=topology.GATEWAY_V4, work=work
    )
    peer = kind(ground, tuned=True)
    try:
        peer.start()
        streams = _streams(peer, interval_ms)
        time.sleep(FLOWING_SECONDS)
        since = _carrying(built.paths).link.block(up=True, down=True)
        deadline = time.monotonic() + PATIENCE_SECONDS
        # What was under way when the path died still arrives for a moment.
        later = since + NS_PER_SECOND // 10
        while time.monotonic() < deadline:
            if all(stream.first_after(later) for stream in streams.values()):
                break
            time.sleep(POLL_SECONDS)
        back = {way: stream.first_after(later) for way, stream in streams.items()}
    finally:
        peer.stop()
    return {
        f"gap_{way}_s": None if at is None else round((at - since) / NS_PER_SECOND, 2)
        for way, at in back.items()
    }


def _use_both(built: Topology) -> None:
    hops = " ".join(
        f"nexthop via 192.168.{10 + path.plan.number}.1 dev {path.plan.interface}"
        for path in built.paths
    )
    for path in built.paths:
        gateway = f"192.168.{10 + path.plan.number}.1"
        built.client.ip(f"route del default via {gateway} dev {path.plan.interface}")
    built.client.ip(f"route add default {hops}")
    built.client.sysctl({"net/ipv4/fib_multipath_hash_policy": "1"})


def _streams(peer: Peer, interval_ms: int) -> dict[str, OneWay]:
    client, gateway = peer.ground.client, peer.ground.gateway
    return {
        "up": OneWay.start(client, gateway, peer.gateway_inner, port=6001, interval_ms=interval_ms),
        "down": OneWay.start(
            gateway, client, peer.client_inner, port=6001, interval_ms=interval_ms
        ),
    }


def _carrying(paths: Iterable[LabPath]) -> LabPath:
    """Return the path over which most goes just now."""
    before = {path.plan.name: path.link.counters()["forwarded"] for path in paths}
    time.sleep(0.5)
    moved = {path.link.counters()["forwarded"] - before[path.plan.name]: path for path in paths}
    if max(moved) == 0:
        raise PeerFailed("nothing goes over any path")
    return moved[max(moved)]
