"""What the gateway tells over its control socket."""

from collections.abc import Iterable

import msgspec

from jumping_vpn.core.ids import Millis
from jumping_vpn.core.record import Record


class SessionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One session. Durations are milliseconds; `transport` is null while there is no binding."""

    session_id: str
    client: str
    state: str
    version: int
    epoch: int
    transport: str | None
    confirmed: bool
    addresses: tuple[str, ...]
    in_state_ms: int
    age_ms: int
    ends_in_ms: int | None
    jumps_last_minute: int


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    """Every session of this node, by client and age."""

    sessions: tuple[SessionLine, ...]


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The node itself."""

    node: int
    incarnation: int
    version: str
    pid: int
    running_ms: int
    sessions: int
    by_state: dict[str, int]
    observations_dropped: int


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is counted: packets and discards of the data plane, work of the driver."""

    plane: dict[str, int]
    driver: dict[str, int]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered has been done."""

    text: str


def sessions(records: Iterable[Record], *, now: Millis, wall_ms: int) -> Sessions:
    """Return the sessions as a person asks for them."""
    ordered = sorted(records, key=lambda each: (each.client_name, each.number))
    return Sessions(sessions=tuple(_line(each, now=now, wall_ms=wall_ms) for each in ordered))


def _line(record: Record, *, now: Millis, wall_ms: int) -> SessionLine:
    session, ends = record.session, record.deadlines.session_ends
    return SessionLine(
        session_id=session.session_id.hex(),
        client=record.client_name,
        state=session.state,
        version=session.version,
        epoch=session.epoch,
        transport=None if session.binding is None else str(session.binding.transport),
        confirmed=session.binding is not None and session.binding.confirmed,
        addresses=record.addresses,
        in_state_ms=max(0, now - session.since),
        age_ms=max(0, wall_ms - record.created_wall_ms),
        ends_in_ms=None if ends is None else max(0, ends - now),
        jumps_last_minute=sum(1 for at in record.jumps if now - at < 60_000),
    )
