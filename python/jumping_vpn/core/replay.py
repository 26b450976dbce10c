"""Replay: whether an event log tells a story that the table and the invariants allow.

Each move event says what the session was before and after it; here that is compared with what the
log said earlier, with the table's row, and with every invariant. Nothing but the log is needed.

A client's log holds what the authority acknowledged. Where the client was not told moves, or where
its process began anew from what it had kept, the log says so: such an event is a seam, after which
the session is taken as it describes itself again. A gateway's log has no seam about a session.
"""

from dataclasses import dataclass
from typing import Final

from jumping_vpn.core.event_data import MoveData
from jumping_vpn.core.events import MOVE_TYPES, Event, EventType, move_type_of
from jumping_vpn.core.ids import (
    BindingEpoch,
    Millis,
    NodeId,
    OwnershipEpoch,
    SessionId,
    StateVersion,
)
from jumping_vpn.core.session.inputs import INPUTS
from jumping_vpn.core.session.invariants import broken_by_move
from jumping_vpn.core.session.model import Binding, Session, State, Transport
from jumping_vpn.core.session.table import TABLE_DIGEST, Effect, row_for

SEAMS: Final = (EventType.EVENTS_DROPPED, EventType.NODE_STARTED)
INPUT_NAMED: Final = {each.__name__: each for each in INPUTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The session after an event, and what is wrong with the event; nothing, if it is legal."""

    session: Session | None
    broken: tuple[str, ...]


def replay(known: Session | None, event: Event) -> Replayed:
    """Return what `event` makes of the session that the log has told so far.

    `known` is None at the first event of a session in a log: one that tells a birth, or one of a
    session that came from another node or an older log, which is taken as it describes itself.
    """
    if event.event_type in SEAMS:
        return _resumed(known)
    if event.event_type not in MOVE_TYPES:
        return Replayed(session=known, broken=_broken_by_observation(known, event))
    data = event.data
    if not isinstance(data, MoveData) or event.session_id is None or event.state_version is None:
        return Replayed(session=known, broken=(f"{event.event_type} tells no move",))

    try:
        told, after = _session_before(event, data), _session_after(event, data)
    except ValueError as error:
        return Replayed(session=known, broken=(str(error),))
    before = told if known is None else known
    broken = (
        *_broken_link(told, before),
        *_broken_by_table(event, data, before),
        *(
            f"invariant {each.number}, {each.name}: {each.text}"
            for each in broken_by_move(before, after)
        ),
    )
    return Replayed(session=after, broken=broken)


def _resumed(known: Session | None) -> Replayed:
    """Forget what the log told, except that a session that ended does not go on."""
    if known is not None and known.state is State.TERMINATED:
        return Replayed(session=known, broken=("the log goes on after the session's end",))
    return Replayed(session=None, broken=())


def _broken_by_observation(known: Session | None, event: Event) -> tuple[str, ...]:
    """Check that an observation carries a version that the log has told, not a later one."""
    if known is None or event.state_version is None or event.state_version <= known.version:
        return ()
    return (f"{event.event_type} carries version {event.state_version}, not yet told",)


def _broken_link(told: Session, known: Session) -> tuple[str, ...]:
    """Compare what an event says was before it with what the log told."""
    pairs = (
        ("session id", told.session_id.hex(), known.session_id.hex()),
        ("version", told.version, known.version),
        ("state", told.state, known.state),
        ("binding epoch", told.epoch, known.epoch),
        ("transport", _transport_text(told), _transport_text(known)),
    )
    return tuple(
        f"{what} before the event is {was!s}, the log told {should_be!s}"
        for what, was, should_be in pairs
        if was != should_be
    )


def _broken_by_table(event: Event, data: MoveData, before: Session) -> tuple[str, ...]:
    given = INPUT_NAMED.get(data.input)
    if given is None:
        return (f"{data.input} is no input",)
    if data.table != TABLE_DIGEST:
        return (f"table {data.table[:12]} governed the event, this one is {TABLE_DIGEST[:12]}",)
    row = row_for(before.shape, given)
    if row is None:
        return (f"no move for {data.input} in {before.shape}",)
    pairs = (
        (data.state_after is row.after, f"{data.input} leads to {row.after}"),
        (event.reason_code in row.reasons, f"{event.reason_code} is no reason of {data.input}"),
        (
            event.event_type is move_type_of(given, data.state_after),
            f"{event.event_type} is not the event of {data.input}",
        ),
        (
            _fits_effect(row.effect, event, data),
            f"{data.input} does not {row.effect} the binding so",
        ),
    )
    return tuple(text for holds, text in pairs if not holds)


def _fits_effect(effect: Effect, event: Event, data: MoveData) -> bool:
    match effect:
        case Effect.BIND:
            return data.transport_after is not None and event.binding_epoch != data.epoch_before
        case Effect.DROP:
            return data.transport_after is None and event.binding_epoch == data.epoch_before
        case Effect.KEEP:
            same_transport = data.transport_after == data.transport_before
            return same_transport and event.binding_epoch == data.epoch_before


def _session_before(event: Event, data: MoveData) -> Session:
    version = (event.state_version or 0) - 1
    return _session(event, data, data.state_before, version, data.epoch_before, before=True)


def _session_after(event: Event, data: MoveData) -> Session:
    epoch = event.binding_epoch or 0
    return _session(event, data, data.state_after, event.state_version or 0, epoch, before=False)


def _session(  # noqa: PLR0913  the parts of a session as an event tells them
    event: Event, data: MoveData, state: State, version: int, epoch: int, *, before: bool
) -> Session:
    """Return the session that an event describes; what events do not tell is always the same."""
    transport = data.transport_before if before else data.transport_after
    return Session(
        session_id=SessionId(bytes.fromhex(event.session_id or "")),
        state=state,
        version=StateVersion(version),
        epoch=BindingEpoch(epoch),
        binding=None if transport is None else _binding(transport, epoch),
        owner=NodeId(data.owner),
        ownership_epoch=OwnershipEpoch(data.ownership_epoch),
        since=Millis(0),
    )


def _binding(text: str, epoch: int) -> Binding:
    return Binding(
        epoch=BindingEpoch(epoch),
        transport=Transport.parse(text),
        confirmed=True,
        since=Millis(0),
    )


def _transport_text(session: Session) -> str:
    return "none" if session.binding is None else str(session.binding.transport)
