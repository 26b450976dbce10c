"""What is in store for a world: who is there, under which policy, and every fault with its time.

A scenario is a value that comes from a seed. Faults can be dropped from it, and the rest happens
all the same: that is how a failure is shrunk.
"""

import random
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy

INTERFACES: Final = ("wlan0", "wwan0", "eth0")
SECOND: Final = 1_000
EVERYBODY: Final = -1


class Kind(StrEnum):
    """What can go wrong, or is ordered; each says what its amount is."""

    # A line: one interface of one client.
    LOSS = "LOSS"  # per cent
    SLOW = "SLOW"  # milliseconds
    JITTER = "JITTER"  # milliseconds
    DUPLICATES = "DUPLICATES"  # per cent
    HOLE = "HOLE"
    HOLE_UP = "HOLE_UP"
    HOLE_DOWN = "HOLE_DOWN"
    NARROW = "NARROW"  # the largest datagram
    NAT_FORGETS = "NAT_FORGETS"
    LINK_DOWN = "LINK_DOWN"
    UNREACHABLE = "UNREACHABLE"
    # A client's machine and process.
    BLACKOUT = "BLACKOUT"
    CLIENT_CRASH = "CLIENT_CRASH"
    CLIENT_CRASH_AT_WRITE = "CLIENT_CRASH_AT_WRITE"  # a Doom
    CLIENT_STOP = "CLIENT_STOP"
    CLIENT_PAUSE = "CLIENT_PAUSE"
    SUSPEND = "SUSPEND"
    STATE_DISK_FULL = "STATE_DISK_FULL"
    STATE_DISK_SLOW = "STATE_DISK_SLOW"  # milliseconds
    CLIENT_CLOCK_STEP = "CLIENT_CLOCK_STEP"  # milliseconds
    JUMP = "JUMP"
    GO_DOWN = "GO_DOWN"
    # The gateway's machine and process.
    GATEWAY_CRASH = "GATEWAY_CRASH"
    GATEWAY_CRASH_AT_WRITE = "GATEWAY_CRASH_AT_WRITE"  # a Doom
    GATEWAY_PAUSE = "GATEWAY_PAUSE"
    GATEWAY_CLOCK_STEP = "GATEWAY_CLOCK_STEP"  # milliseconds
    TERMINATE = "TERMINATE"
    CHANGE_POLICY = "CHANGE_POLICY"
    # The store.
    STORE_UNREACHABLE = "STORE_UNREACHABLE"
    STORE_FULL = "STORE_FULL"
    STORE_SLOW = "STORE_SLOW"  # milliseconds
    ACKS_LOST = "ACKS_LOST"  # per cent
    # A stranger repeats what it has seen.
    REPLAY = "REPLAY"  # how many datagrams


class Doom(IntEnum):
    """Where a process dies that dies at its next durable write."""

    NONE = 0
    BEFORE = 1
    AFTER = 2


LINE_KINDS: Final = (
    *(Kind.LOSS, Kind.SLOW, Kind.JITTER, Kind.DUPLICATES, Kind.HOLE, Kind.HOLE_UP),
    *(Kind.HOLE_DOWN, Kind.NARROW, Kind.NAT_FORGETS, Kind.LINK_DOWN, Kind.UNREACHABLE),
)
AMOUNTS: Final[dict[Kind, tuple[int, ...]]] = {
    Kind.LOSS: (3, 10, 30, 60),
    Kind.SLOW: (30, 80, 300, 900),
    Kind.JITTER: (5, 30, 120),
    Kind.DUPLICATES: (5, 50, 100),
    Kind.NARROW: (1000, 1250, 1330),
    Kind.STATE_DISK_SLOW: (30, 200, 1500),
    Kind.CLIENT_CLOCK_STEP: (-3_600_000, -20_000, 700, 20_000, 3_600_000),
    Kind.GATEWAY_CLOCK_STEP: (-20_000, -800, 800, 20_000),
    Kind.STORE_SLOW: (20, 100, 700),
    Kind.ACKS_LOST: (10, 50, 100),
    Kind.REPLAY: (1, 5, 30),
    Kind.GATEWAY_CRASH_AT_WRITE: (Doom.BEFORE, Doom.AFTER, Doom.AFTER),
    Kind.CLIENT_CRASH_AT_WRITE: (Doom.BEFORE, Doom.AFTER, Doom.AFTER),
}
WEIGHTS: Final[dict[Kind, int]] = {
    Kind.HOLE: 4,
    Kind.HOLE_UP: 3,
    Kind.HOLE_DOWN: 3,
    Kind.LINK_DOWN: 4,
    Kind.LOSS: 3,
    Kind.BLACKOUT: 3,
    Kind.GATEWAY_CRASH: 3,
    Kind.CLIENT_CRASH: 3,
    Kind.GATEWAY_CRASH_AT_WRITE: 4,
    Kind.CLIENT_CRASH_AT_WRITE: 4,
    Kind.NAT_FORGETS: 3,
    Kind.JUMP: 3,
    Kind.ACKS_LOST: 3,
    Kind.GO_DOWN: 1,
    Kind.TERMINATE: 1,
}
"""How often a kind is drawn; those that are not named, twice."""
SPANS: Final = (80, 400, 1_500, 4_000, 9_000)
"""How long faults last, in milliseconds."""


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that happens at a time and, where it lasts, ends by itself."""

    at_ms: int
    for_ms: int
    kind: Kind
    client: int = 0
    interface: str = ""
    amount: int = 0

    def __str__(self) -> str:
        """Return a line for people."""
        whom = f" client {self.client}" if self.client >= 0 else ""
        where = f" {self.interface}" if self.interface else ""
        amount = f" {self.amount}" if self.amount else ""
        return f"{self.at_ms:>7} ms  {self.kind}{amount}{whom}{where} for {self.for_ms} ms"


class Scenario(Struct, frozen=True, kw_only=True):
    """Everything that decides how a world goes."""

    seed: int
    clients: int
    interfaces: int
    span_ms: int
    policy: Policy
    faults: tuple[Fault, ...]

    def without(self, fault: Fault) -> "Scenario":
        """Return the same without a fault."""
        return replace(self, faults=tuple(each for each in self.faults if each is not fault))


def scenario_of(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    chance = random.Random(seed)  # noqa: S311  the same each time
    clients = chance.choice((1, 1, 2, 2, 3))
    interfaces = chance.choice((1, 2, 2, 2, 3))
    span_ms = chance.choice((8, 15, 25)) * SECOND
    policy = _policy(chance)
    drawer = _Drawer(chance=chance, clients=clients, interfaces=interfaces, span_ms=span_ms)
    faults = [drawer.fault() for _ in range(chance.randrange(1, 4 + 5 * clients))]
    if chance.random() < 0.06:
        span_ms, night = 130 * SECOND, chance.randrange(2 * SECOND, 6 * SECOND)
        faults.append(Fault(at_ms=night, for_ms=80 * SECOND, kind=Kind.BLACKOUT))
    return Scenario(
        seed=seed,
        clients=clients,
        interfaces=interfaces,
        span_ms=span_ms,
        policy=policy,
        faults=tuple(sorted(faults, key=lambda each: each.at_ms)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawer:
    chance: random.Random
    clients: int
    interfaces: int
    span_ms: int

    def fault(self) -> Fault:
        """Draw a fault."""
        chance = self.chance
        kinds = list(Kind)
        (kind,) = chance.choices(kinds, weights=[WEIGHTS.get(each, 2) for each in kinds])
        on_line = kind in LINE_KINDS
        return Fault(
            at_ms=chance.randrange(100, self.span_ms),
            for_ms=chance.choice(SPANS),
            kind=kind,
            client=chance.randrange(self.clients),
            interface=INTERFACES[chance.randrange(self.interfaces)] if on_line else "",
            amount=chance.choice(AMOUNTS.get(kind, (0,))),
        )


def _policy(chance: random.Random) -> Policy:
    recovery_ms = chance.choice((300, 1_000, 4_000))
    return Policy(
        session_ttl=Millis(chance.choice((120_000, 86_400_000))),
        recovery_window=Millis(recovery_ms),
        transport_loss_ttl=Millis(recovery_ms + 60_000),
        heartbeat_interval=Millis(chance.choice((25, 50, 100, 200))),
        heartbeat_idle=Millis(chance.choice((1_000, 3_000, 15_000))),
        peer_silence_max=Millis(chance.choice((1_000, 4_000, 10_000))),
        volatile_max=Millis(chance.choice((500, 4_000))),
        degraded_max=Millis(chance.choice((0, 0, 0, 6_000))),
        state_dwell=Millis(chance.choice((0, 500))),
        max_switches_per_minute=chance.choice((2, 6, 12, 12)),
        switch_cooldown=Millis(chance.choice((0, 1_500))),
        proof_max_age=Millis(chance.choice((1_000, 5_000))),
        retain_time=Millis(chance.choice((0, 1_000))),
    )
