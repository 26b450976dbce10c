"""The policy of a session: one immutable object whose every field has a unit, bounds and a meaning.

Durations are integer milliseconds. A bound may name another field, with an offset.
"""

import hashlib
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from jumping_vpn.core.ids import Millis

Number: TypeAlias = int | float

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MIB: Final = 1024 * 1024

ADAPTERS: Final = ("udp", "quic", "tcp")


class PolicyError(ValueError):
    """A field is unknown, mistyped or out of range; the text names field, value and range."""


class Policy(Struct, frozen=True, kw_only=True, cache_hash=True):
    """What a session may do and must hold; checked when it is made."""

    session_ttl: Millis = Millis(24 * HOUR)
    transport_loss_ttl: Millis = Millis(15 * MINUTE)
    recovery_window: Millis = Millis(10 * SECOND)
    heartbeat_interval: Millis = Millis(25)
    heartbeat_idle: Millis = Millis(15 * SECOND)
    dead_after_misses: int = 3
    false_death_budget: float = 1.0
    peer_silence_max: Millis = Millis(10 * SECOND)
    loss_window: Millis = Millis(2 * SECOND)
    loss_threshold: float = 0.10
    latency_factor: float = 3.0
    jitter_factor: float = 4.0
    latency_floor: Millis = Millis(50)
    stability_window: Millis = Millis(2 * SECOND)
    volatile_max: Millis = Millis(4 * SECOND)
    degraded_max: Millis = Millis(0)
    state_dwell: Millis = Millis(500)
    max_switches_per_minute: int = 12
    switch_cooldown: Millis = Millis(1500)
    improvement_factor: float = 1.2
    replay_window: int = 8192
    proof_max_age: Millis = Millis(5 * SECOND)
    reattach_rate: int = 5
    reattach_burst: int = 10
    handshake_rate: int = 10
    handshake_burst: int = 20
    retain_time: Millis = Millis(SECOND)
    retain_bytes: int = 4 * MIB
    allowed_transports: tuple[str, ...] = ADAPTERS
    max_candidates: int = 8
    max_hops: int = 3

    def __post_init__(self) -> None:
        """Check every field against its bounds."""
        for field in FIELDS:
            field.check(self)

    def hash(self) -> str:
        """Return the SHA-256 of the canonical form: equal policies have equal hashes."""
        return hashlib.sha256(msgspec.json.encode(self.to_mapping(), order="sorted")).hexdigest()

    def to_mapping(self) -> dict[str, Number | tuple[str, ...]]:
        """Return field names and values, each in its field's own type."""
        return {each.name: each.canonical(getattr(self, each.name)) for each in FIELDS}

    @classmethod
    def from_mapping(cls, given: Mapping[str, object]) -> "Policy":
        """Return the default policy with the `given` fields; PolicyError names what is wrong."""
        known = {each.name: each for each in FIELDS}
        for name in given:
            if name not in known:
                raise PolicyError(f"{name}: no such field; the fields are {', '.join(known)}")
        return cls(**{name: known[name].canonical(value) for name, value in given.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """A bound given by another field, plus an offset."""

    field: str
    plus: int = 0

    def __str__(self) -> str:
        """Return the text for ranges."""
        return f"{self.field} + {self.plus}" if self.plus else self.field


Bound: TypeAlias = int | float | Beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What is known about one field of the policy: unit, bounds and meaning."""

    name: str
    unit: str
    low: Bound
    high: Bound
    meaning: str
    above_low: bool = False

    @property
    def range(self) -> str:
        """Return the range as people read it."""
        if self.unit == "names":
            return f"one or more of {', '.join(ADAPTERS)}"
        if self.above_low:
            return f"above {self.low}, at most {self.high}"
        return f"{self.low} .. {self.high}"

    def canonical(self, value: object) -> Any:  # noqa: ANN401  the type depends on the unit
        """Return `value` in the type of this field, or raise PolicyError."""
        if self.unit == "names":
            return self._names(value)
        wanted = FLOAT_UNITS.get(self.unit, int)
        if isinstance(value, bool) or not isinstance(value, int | wanted):
            raise PolicyError(
                f"{self.name} = {reprlib.repr(value)}: expected {self._expected()}, {self.range}"
            )
        try:
            return wanted(value)
        except OverflowError as error:
            raise self._outside(value) from error

    def check(self, policy: Policy) -> None:
        """Raise PolicyError unless this field of `policy` is within its bounds."""
        value = self.canonical(getattr(policy, self.name))
        if self.unit == "names":
            return
        low, high = _resolve(self.low, policy), _resolve(self.high, policy)
        if not low <= value <= high or (self.above_low and value == low):
            raise self._outside(value)

    def _names(self, value: object) -> tuple[str, ...]:
        names = tuple(value) if isinstance(value, list | tuple) else ()
        if not names or not all(each in ADAPTERS for each in names):
            raise self._outside(value)
        return tuple(each for each in ADAPTERS if each in names)

    def _outside(self, value: object) -> PolicyError:
        return PolicyError(f"{self.name} = {reprlib.repr(value)}: out of range, {self.range}")

    def _expected(self) -> str:
        return "a number" if self.unit in FLOAT_UNITS else "a whole number"


FLOAT_UNITS: Final = {"factor": float, "share": float, "per day": float}


def _resolve(bound: Bound, policy: Policy) -> Number:
    if isinstance(bound, Beyond):
        value: int = getattr(policy, bound.field)
        return value + bound.plus
    return bound


def _field(  # noqa: PLR0913  one row of a table
    name: str, unit: str, low: Bound, high: Bound, meaning: str, *, above_low: bool = False
) -> Field:
    return Field(name=name, unit=unit, low=low, high=high, meaning=meaning, above_low=above_low)


FIELDS: Final = (
    _field(
        "session_ttl",
        "ms",
        2 * MINUTE,
        30 * DAY,
        "How long a session lives at most, from its handshake.",
    ),
    _field(
        "transport_loss_ttl",
        "ms",
        Beyond(field="recovery_window", plus=MINUTE),
        Beyond(field="session_ttl"),
        "How long a session may be without a binding before it ends.",
    ),
    _field(
        "recovery_window",
        "ms",
        100,
        10 * MINUTE,
        "How long a session recovers at full pace before it is degraded.",
    ),
    _field(
        "heartbeat_interval",
        "ms",
        5,
        MINUTE,
        "Heartbeats while traffic flows; the detection of a dead path builds on it.",
    ),
    _field(
        "heartbeat_idle",
        "ms",
        5,
        MINUTE,
        "Heartbeats while the session is idle; low enough to keep a NAT's mapping.",
    ),
    _field(
        "dead_after_misses",
        "count",
        2,
        20,
        "The fewest unanswered probes that can mean death; a lossy path needs more.",
    ),
    _field(
        "false_death_budget",
        "per day",
        0,
        1000,
        "How many deaths in error per 24 h of activity the verdict may cost.",
        above_low=True,
    ),
    _field(
        "peer_silence_max",
        "ms",
        SECOND,
        Beyond(field="transport_loss_ttl"),
        "Gateway: the silence, from the first overdue heartbeat, that ends a binding.",
    ),
    _field("loss_window", "ms", 100, MINUTE, "The window over which loss is measured."),
    _field(
        "loss_threshold",
        "share",
        0,
        1,
        "Loss above this share of packets, in either direction, breaches quality.",
        above_low=True,
    ),
    _field(
        "latency_factor",
        "factor",
        1.0,
        100.0,
        "Latency above this many times the path's own baseline breaches quality.",
    ),
    _field(
        "jitter_factor",
        "factor",
        1.0,
        100.0,
        "Jitter above this many times the path's own baseline breaches quality.",
    ),
    _field(
        "latency_floor",
        "ms",
        0,
        10 * SECOND,
        "Latency and jitter up to this never breach quality.",
    ),
    _field(
        "stability_window",
        "ms",
        100,
        10 * MINUTE,
        "How long figures must be good to restore quality, or better to earn a switch.",
    ),
    _field("volatile_max", "ms", 100, 10 * MINUTE, "How long a session may be volatile."),
    _field(
        "degraded_max",
        "ms",
        0,
        Beyond(field="session_ttl"),
        "How long a bound session may be degraded; 0: a bad path that delivers never ends it.",
    ),
    _field(
        "state_dwell",
        "ms",
        0,
        MINUTE,
        "The shortest stay in VOLATILE or DEGRADED before quality counts as restored.",
    ),
    _field(
        "max_switches_per_minute",
        "count",
        1,
        600,
        "Accepted jumps in any 60 s; discretionary ones may use half of it.",
    ),
    _field(
        "switch_cooldown",
        "ms",
        0,
        MINUTE,
        "The shortest time between discretionary switches; death overrides it.",
    ),
    _field(
        "improvement_factor",
        "factor",
        1.0,
        10.0,
        "How many times better a candidate must be to earn a switch.",
    ),
    _field(
        "replay_window",
        "packets",
        64,
        65536,
        "Counters remembered per direction; also bounds the packets retained.",
    ),
    _field(
        "proof_max_age",
        "ms",
        100,
        MINUTE,
        "How old a reattach request may be by the authority's clock.",
    ),
    _field("reattach_rate", "per second", 1, 1000, "Reattach requests of one session."),
    _field("reattach_burst", "count", 1, 1000, "Reattach requests of one session at once."),
    _field("handshake_rate", "per second", 1, 1000, "Handshakes from one source prefix."),
    _field("handshake_burst", "count", 1, 1000, "Handshakes from one source prefix at once."),
    _field(
        "retain_time",
        "ms",
        0,
        MINUTE,
        "How long a sent packet is kept for a jump while the path is proven; 0: not at all.",
    ),
    _field(
        "retain_bytes",
        "bytes",
        0,
        256 * MIB,
        "How many bytes one session keeps for a jump; 0: none.",
    ),
    _field("allowed_transports", "names", 0, 0, "The adapters that a session may use."),
    _field("max_candidates", "count", 1, 64, "Candidates that a client keeps and probes."),
    _field("max_hops", "count", 0, 16, "Relays in one transport."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The part of a policy that the data plane executes, in its units."""

    heartbeat_us: int
    heartbeat_idle_us: int
    dead_after_misses: int
    false_deaths_per_day: float
    peer_silence_us: int
    loss_window_us: int
    loss_threshold: float
    latency_factor: float
    jitter_factor: float
    latency_floor_us: int
    replay_window: int
    retain_time_us: int
    retain_bytes: int


def limits_of(policy: Policy) -> Limits:
    """Return what the data plane must know of `policy`."""
    return Limits(
        heartbeat_us=policy.heartbeat_interval * 1000,
        heartbeat_idle_us=policy.heartbeat_idle * 1000,
        dead_after_misses=policy.dead_after_misses,
        false_deaths_per_day=policy.false_death_budget,
        peer_silence_us=policy.peer_silence_max * 1000,
        loss_window_us=policy.loss_window * 1000,
        loss_threshold=policy.loss_threshold,
        latency_factor=policy.latency_factor,
        jitter_factor=policy.jitter_factor,
        latency_floor_us=policy.latency_floor * 1000,
        replay_window=policy.replay_window,
        retain_time_us=policy.retain_time * 1000,
        retain_bytes=policy.retain_bytes,
    )
