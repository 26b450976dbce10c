"""One condition of the world in numbers, and the shelf that keeps what is behind the numbers."""

from collections.abc import Hashable, Iterator
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from jumping_vpn.core.client_state import ClientState
from jumping_vpn.sim.freeze import copied, frozen
from jumping_vpn.sim.wire import Packet


class Fault(IntEnum):
    """What may happen only so often in one exploration."""

    SILENCE = 0
    JUMP = 1
    WAKE = 2
    CLIENT_CRASH = 3
    GATEWAY_CRASH = 4
    STORE_FAILURE = 5
    LATENESS = 6


Budget: TypeAlias = tuple[int, ...]


class Condition(NamedTuple):
    """One condition of the world, in numbers."""

    client: int
    gateways: tuple[int, ...]
    ledger: int
    sent: int
    now: int
    left: Budget


class Action(NamedTuple):
    """One thing that happens: what, to whom (-1: the client), with which packet."""

    what: str
    where: int = -1
    packet: int = -1


class Down(NamedTuple):
    """A process that is not running: what it left behind, and how many lives it had."""

    kept: ClientState | None
    life: int


class Told(NamedTuple):
    """What one input made of a client: the client, the one that crashed once durable, packets."""

    client: int
    crashed: int | None
    sent: int


class Done(NamedTuple):
    """What one input made of a gateway and the store."""

    gateway: int
    ledger: int
    sent: int
    failed: bool


class Shelf:
    """Keeps each different thing once, under a number."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.things: list[Any] = []

    def put(self, thing: object) -> int:
        """Return the number of a thing, which must not change any more."""
        number = self._numbers.setdefault(frozen(thing), len(self.things))
        if number == len(self.things):
            self.things.append(thing)
        return number

    def copy(self, number: int) -> Any:  # noqa: ANN401  a process
        """Return a copy that may be changed."""
        return copied(self.things[number], {})


def placed(state: Condition, where: int, number: int) -> Condition:
    """Return the condition with another gateway in this place."""
    running = (*state.gateways[:where], number, *state.gateways[where + 1 :])
    return state._replace(gateways=running)


def less(left: Budget, fault: Fault) -> Budget:
    """Return the budget with one of a fault spent."""
    return (*left[:fault], left[fault] - 1, *left[fault + 1 :])


def bits(number: int) -> Iterator[int]:
    """Return the places of the bits that are set, lowest first."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def shown(packet: Packet) -> str:
    """Return what a person needs to tell a packet from the others."""
    what = type(packet).__name__
    names = {
        field: getattr(packet, field)
        for field in ("attempt", "epoch", "interface")
        if hasattr(packet, field)
    }
    digest = getattr(packet, "digest", b"").hex()[:6]
    return " ".join([what, *(f"{key}={each}" for key, each in names.items()), digest]).strip()
