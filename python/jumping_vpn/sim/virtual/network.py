"""The network between the machines: lines with weather, NATs before the clients, and a stranger.

A line is one interface of one client. What its weather does to a packet is drawn from the world's
chance; what it did is noted in the trace.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from errno import ENETUNREACH
from typing import Final, Protocol

from jumping_vpn.sim.virtual.calendar import US_PER_MS, Calendar

GATEWAY_PORT: Final = 4789
FIRST_PORT: Final = 20_000
STRANGER: Final = "192.0.2.66:6666"
"""The address of one who has no key, and sends again what it has seen."""


class Way(StrEnum):
    """Where a packet goes on a line."""

    UP = "up"
    DOWN = "down"


@dataclass(slots=True)
class Weather:
    """What a line does to packets now; durations are microseconds, shares are of one."""

    delay_us: int = 10_000
    jitter_us: int = 0
    loss: float = 0.0
    duplicated: float = 0.0
    blocked: Counter[Way] = field(default_factory=Counter)
    size_max: int = 65_535
    unreachable: bool = False


class Endpoint(Protocol):
    """A process that has sockets."""

    def arrive(self, path: int | None, remote: str, datagram: bytes) -> None:
        """Put a datagram into a socket's buffer; at a client, that of a path."""

    def send_failed(self, path: int, errno: int) -> None:
        """Tell that the kernel refused to send."""


class Line:
    """One interface of one client, behind a NAT of its own."""

    def __init__(self, owner: int, interface: str, address: str) -> None:
        self.owner = owner
        self.interface = interface
        self.address = address
        self.weather = Weather()
        self.up = True
        self.mappings: dict[int, str] = {}


class Network:
    """Carries datagrams between clients and gateways."""

    def __init__(self, calendar: Calendar, chance: random.Random) -> None:
        self.lines: dict[tuple[int, str], Line] = {}
        self.clients: dict[int, Endpoint] = {}
        self.gateways: dict[str, Endpoint] = {}
        self.seen: list[bytes] = []
        self.on_send: Callable[[str, str, str, bytes], None] = lambda *_: None
        self.heard: dict[tuple[int, int, Way], int] = {}
        self._calendar = calendar
        self._chance = chance
        self._ports = FIRST_PORT
        self._flows: dict[str, tuple[Line, int]] = {}
        self._owners: dict[str, int] = {}
        self._paths: dict[tuple[int, int], Line] = {}

    def connect(self, client: int, path: int, interface: str | None) -> None:
        """Let a client's path leave by an interface, or by none any more."""
        if interface is None:
            self._paths.pop((client, path), None)
        else:
            self._paths[client, path] = self.lines[client, interface]

    def forget(self, client: int) -> None:
        """Close every socket of a client."""
        for key in [key for key in self._paths if key[0] == client]:
            del self._paths[key]

    def rebind(self, line: Line) -> None:
        """Let a line's NAT forget: what comes back to the old addresses is lost."""
        for public in line.mappings.values():
            del self._flows[public]
        line.mappings.clear()

    def send_up(self, client: int, path: int, remote: str, datagram: bytes) -> None:
        """Carry what a client sends."""
        line = self._paths.get((client, path))
        if line is None:
            return
        if not line.up or line.weather.unreachable:
            self.clients[client].send_failed(path, ENETUNREACH)
            return
        public = line.mappings.get(path)
        if public is None:
            self._ports += 1
            public = line.mappings[path] = f"{line.address}:{self._ports}"
            self._flows[public] = line, path
            self._owners[public] = client
        self.on_send(f"client {client}", public, remote, datagram)
        self._carry(line, Way.UP, datagram, lambda: self._reach(remote, public, datagram))

    def send_down(self, local: str, remote: str, datagram: bytes) -> None:
        """Carry what a gateway sends."""
        self.on_send(f"gateway to {self._owners.get(remote)}", local, remote, datagram)
        flow = self._flows.get(remote)
        if flow is not None:
            line = flow[0]
            self._carry(line, Way.DOWN, datagram, lambda: self._return(remote, local, datagram))

    def repeat_as_stranger(self, remote: str, datagram: bytes) -> None:
        """Send a gateway what was seen before, from an address that has no key."""
        self.on_send("stranger", STRANGER, remote, datagram)
        self._reach(remote, STRANGER, datagram)

    def _carry(self, line: Line, way: Way, datagram: bytes, arrive: Callable[[], None]) -> None:
        weather, chance = line.weather, self._chance
        if weather.blocked[way] > 0 or len(datagram) > weather.size_max:
            return
        if weather.loss and chance.random() < weather.loss:
            return
        copies = 2 if weather.duplicated and chance.random() < weather.duplicated else 1
        for _ in range(copies):
            late = chance.randrange(weather.jitter_us) if weather.jitter_us else 0
            self._calendar.after(weather.delay_us + late, arrive)

    def _reach(self, gateway: str, source: str, datagram: bytes) -> None:
        endpoint, (line, path) = self.gateways.get(gateway), self._flows.get(source, (None, 0))
        if line is not None:
            self.heard[line.owner, path, Way.UP] = self._calendar.now
        if endpoint is not None:
            endpoint.arrive(None, source, datagram)

    def _return(self, public: str, gateway: str, datagram: bytes) -> None:
        """Arrive at the client, unless its NAT, its link or the socket is gone meanwhile."""
        line, path = self._flows.get(public, (None, 0))
        if line is not None and line.up and self._paths.get((line.owner, path)) is line:
            self.heard[line.owner, path, Way.DOWN] = self._calendar.now
            self.clients[line.owner].arrive(path, gateway, datagram)


def milliseconds(span: int) -> int:
    """Return so many milliseconds in the world's microseconds."""
    return span * US_PER_MS
