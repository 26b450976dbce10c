"""Traffic through a peer's tunnel: what arrives, and what it costs.

TrafficFailed       a generator said nothing that can be read; the text is what it said
"""

import json
import statistics
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bench.measures.processor import Watch, process_seconds
from bench.measures.samples import percentile
from bench.peers.peer import Peer
from bench.peers.plain import EXAMPLES

from jumping_vpn.lab.namespaces import Namespace, stop
from jumping_vpn.lab.product import wait_for

TRAFFIC: Final = str(EXAMPLES / "traffic")
TCP_PORT: Final = 5201
UDP_PORT: Final = 7100
ECHO_PORT: Final = 7200
LISTEN_SECONDS_MAX: Final = 5.0
BURST_ECHOES: Final = 200
PATIENCE_SECONDS: Final = 20.0
GIGABYTE: Final = 1e9
WARM_UP_SECONDS: Final = 0.6
"""What the source sends before and after the sink counts."""
SMALL_BYTES: Final = 200
QUIC_BYTES: Final = 1350
QUIC_DATAGRAMS: Final = 40
"""Datagrams of one call: nearly the 64 KiB that the kernel cuts at once."""


class TrafficFailed(Exception):
    """No figure came out of a measurement."""


class Direction(StrEnum):
    """Which way the bulk goes, as the client sees it."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Processor seconds: of the peer's own processes, and of the machine without all the others.

    The second has what the kernel does in its own threads, and the sender and the receiver.
    """

    peer: float
    machine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What arrived of a bulk flow, over how many seconds, and what it cost."""

    bytes: float
    packets: float
    seconds: float
    cost: Cost

    extra_seconds: float = 0.0
    """For how long it went on beside the seconds that were counted, at the same cost."""

    @property
    def mbit_per_s(self) -> float:
        """Payload that arrived."""
        return self.bytes * 8e-6 / self.seconds

    @property
    def packets_per_s(self) -> float:
        """Datagrams that arrived."""
        return self.packets / self.seconds


def tcp(peer: Peer, direction: Direction, *, streams: int, seconds: float) -> Flow:
    """Run bulk TCP between the client and the gateway itself."""
    server = peer.ground.gateway.start(
        ("iperf3", "--server", "--bind", peer.gateway_inner, "--port", str(TCP_PORT)),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(
            "iperf3",
            lambda: peer.ground.gateway.run("ss", "-Hltn", f"sport = :{TCP_PORT}"),
            seconds_max=LISTEN_SECONDS_MAX,
        )
        reverse = ("--reverse",) if direction is Direction.DOWN else ()
        command = ("iperf3", "--client", peer.gateway_inner, "--port", str(TCP_PORT), "--json")
        length = ("--time", f"{seconds:.0f}", "--parallel", str(streams))
        told, cost = _costing(
            peer, lambda: _output(peer.ground.client, *command, *length, *reverse)
        )
    finally:
        stop(server)
    received, span = received_by_tcp(told)
    return Flow(bytes=received, packets=0, seconds=span, cost=cost)


def received_by_tcp(told: str) -> tuple[float, float]:
    """Return bytes and seconds at the receiver from what iperf3 printed."""
    answer = _json(told)
    if "error" in answer or "sum_received" not in answer.get("end", {}):
        raise TrafficFailed(f"iperf3: {answer.get('error', told[:200])}")
    received = answer["end"]["sum_received"]
    return received["bytes"], received["seconds"]


def datagrams(peer: Peer, direction: Direction, *, size: int, at_once: int, seconds: float) -> Flow:
    """Flood datagrams of this size, so many with each call, and count those that arrive."""
    ends = (peer.ground.gateway, peer.gateway_inner, peer.ground.client)
    if direction is Direction.DOWN:
        ends = (peer.ground.client, peer.client_inner, peer.ground.gateway)
    receiver, address, sender = ends
    to = f"{address}:{UDP_PORT}"
    sink = receiver.start((TRAFFIC, "sink", to, str(seconds)), stdout=subprocess.PIPE)
    wait_for(
        "the sink",
        lambda: receiver.run("ss", "-Hlun", f"sport = :{UDP_PORT}"),
        seconds_max=LISTEN_SECONDS_MAX,
    )
    source = (TRAFFIC, "source", to, str(seconds), str(size), str(at_once))
    _, cost = _costing(peer, lambda: _output(sender, *source))
    told, _ = sink.communicate(timeout=PATIENCE_SECONDS)
    counted = _json(told)
    return Flow(
        bytes=counted["bytes"],
        packets=counted["datagrams"],
        seconds=counted["seconds"],
        cost=cost,
        extra_seconds=WARM_UP_SECONDS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoes:
    """Round trips of small datagrams, one under way at a time, in microseconds.

    The p99 is that of a short burst, the median over all of them: work that somebody else does in
    the kernel of this machine holds every tunnel up for milliseconds, now and then.
    """

    sent: int
    lost: int
    p50_us: float
    p99_us: float


def echoes(peer: Peer, *, count: int, interval_us: int) -> Echoes:
    """Time echoes while nothing else goes through the tunnel."""
    to = f"{peer.gateway_inner}:{ECHO_PORT}"
    server = peer.ground.gateway.start((TRAFFIC, "echo", to))
    try:
        wait_for(
            "the echo",
            lambda: peer.ground.gateway.run("ss", "-Hlun", f"sport = :{ECHO_PORT}"),
            seconds_max=LISTEN_SECONDS_MAX,
        )
        told = _output(peer.ground.client, TRAFFIC, "ping", to, str(count), str(interval_us))
    finally:
        with suppress(ProcessLookupError):
            server.kill()
            server.wait()
    return round_trips(told)


def round_trips(told: str) -> Echoes:
    """Return what a prober's output says."""
    answer = _json(told)
    took = [each / 10 for each in answer["round_trips_tenths_us"]]
    if not took:
        raise TrafficFailed("no echo came back")
    bursts = [took[start : start + BURST_ECHOES] for start in range(0, len(took), BURST_ECHOES)]
    return Echoes(
        sent=answer["sent"],
        lost=answer["sent"] - len(took),
        p50_us=percentile(sorted(took), 0.50),
        p99_us=statistics.median(percentile(sorted(burst), 0.99) for burst in bursts),
    )


def _costing(peer: Peer, work: Callable[[], str]) -> tuple[str, Cost]:
    pids = peer.processes().values()
    watch, spent = Watch.begin(), process_seconds(pids)
    told = work()
    return told, Cost(peer=process_seconds(pids) - spent, machine=watch.busy_for_us())


def _output(namespace: Namespace, *command: str) -> str:
    process = namespace.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told, _ = process.communicate(timeout=PATIENCE_SECONDS * 3)
    return told


def _json(told: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(told)
    except ValueError as error:
        raise TrafficFailed(f"unreadable: {told[:200]!r}") from error
    return answer
