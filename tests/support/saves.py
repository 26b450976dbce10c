"""Sessions, records, events and saves made by driving the real core."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from jumping_vpn.core.event_data import NodeData
from jumping_vpn.core.events import (
    Event,
    EventType,
    Origin,
    Stamp,
    event_of_move,
    make_event,
    subject_of,
)
from jumping_vpn.core.ids import (
    Attempt,
    BindingEpoch,
    Millis,
    NodeId,
    OwnershipEpoch,
    SessionId,
    SessionNumber,
)
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Deadlines, Reading, Record, Root
from jumping_vpn.core.session.inputs import (
    BindingLost,
    HandshakeVerified,
    Input,
    OwnershipMoved,
    ReattachVerified,
    TerminateVerified,
)
from jumping_vpn.core.session.machine import Moved, advance
from jumping_vpn.core.session.model import Binding, Transport, begin
from jumping_vpn.core.session.reasons import Reason

ORIGIN = Origin(node_id="gateway-1", reveal_addresses=False)
WALL_MS = 1_800_000_000_000


def session_id(seed: int) -> SessionId:
    return SessionId(seed.to_bytes(16, "big"))


def binding(epoch: int, *, transport: int = 1) -> Binding:
    return Binding(
        epoch=BindingEpoch(epoch),
        transport=Transport(
            id=transport, adapter="udp", interface="wlan0", endpoint="203.0.113.1:4789"
        ),
        confirmed=False,
        since=Millis(1000 * epoch),
    )


def birth(seed: int, *, owner: int = 1, session_ends: int = 5_000) -> Save:
    """Return the save that creates the session `seed`."""
    session = begin(
        session_id(seed), owner=NodeId(owner), ownership_epoch=OwnershipEpoch(1), now=Millis(0)
    )
    moved = advance(session, HandshakeVerified(binding=binding(1)), now=Millis(1000))
    assert isinstance(moved, Moved)
    record = Record(
        session=moved.after,
        policy=Policy(),
        policy_version=1,
        number=SessionNumber(0),
        client_name=f"client-{seed}",
        client_public=seed.to_bytes(32, "little"),
        addresses=(f"10.77.{seed >> 8 & 255}.{seed & 255}", "fd77:4a56:504e::2"),
        confirmed=Root(epoch=BindingEpoch(1), sealed=b"s" * 65, attempt=Attempt(0)),
        unconfirmed=None,
        attempt_floor=Attempt(0),
        control_floor=0,
        jumps=(),
        deadlines=Deadlines(session_ends=Millis(session_ends)),
        created_wall_ms=WALL_MS,
        predecessor=None,
        written=Reading(now=Millis(1000), wall_ms=WALL_MS, incarnation=1),
    )
    return Save(
        record=record,
        expected_version=session.version,
        expected_ownership_epoch=session.ownership_epoch,
        events=(event_of(moved, record),),
        create=True,
    )


def moved_by(record: Record, inputs: Sequence[Input]) -> Save:
    """Return the save of the moves that `inputs` make of the record."""
    session = record.session
    events = []
    for each in inputs:
        moved = advance(session, each, now=Millis(2000))
        assert isinstance(moved, Moved), moved
        session = moved.after
        events.append(event_of(moved, record, ordinal=len(events)))
    return Save(
        record=replace(record, session=session),
        expected_version=record.session.version,
        expected_ownership_epoch=record.session.ownership_epoch,
        events=tuple(events),
    )


def jump(record: Record) -> Save:
    """Return the save of one planned jump."""
    to = binding(record.session.epoch + 1)
    return moved_by(record, [ReattachVerified(binding=to, reason=Reason.PLANNED_SWITCH)])


def loss_and_return(record: Record) -> Save:
    """Return the save of two moves that one request causes."""
    to = binding(record.session.epoch + 1, transport=2)
    return moved_by(
        record,
        [
            BindingLost(epoch=record.session.epoch, reason=Reason.LINK_DOWN),
            ReattachVerified(binding=to, reason=Reason.REATTACH_SUCCESS),
        ],
    )


def takeover(record: Record, *, owner: int) -> Save:
    """Return the save with which another node takes the session."""
    moved = OwnershipMoved(
        owner=NodeId(owner),
        ownership_epoch=OwnershipEpoch(record.session.ownership_epoch + 1),
        reason=Reason.OWNERSHIP_TRANSFERRED,
    )
    return moved_by(record, [moved])


def end(record: Record) -> Save:
    """Return the save that terminates the session."""
    return moved_by(record, [TerminateVerified(reason=Reason.CLIENT_REQUEST)])


def event_of(moved: Moved, record: Record, *, ordinal: int = 0) -> Event:
    entropy = record.client_public[:4] + (moved.after.version & 0xFFFFFFFF).to_bytes(4, "big")
    stamp = Stamp(
        wall_ms=WALL_MS + (moved.after.version & 0xFFFF), entropy=entropy, ordinal=ordinal
    )
    return event_of_move(moved, subject_of(record), origin=ORIGIN, stamp=stamp)


def observation(ordinal: int) -> Event:
    """Return an event that is no move."""
    return make_event(
        EventType.NODE_STARTED,
        Reason.NODE_START,
        NodeData(incarnation=ordinal, software="0", sessions=0),
        origin=ORIGIN,
        stamp=Stamp(wall_ms=WALL_MS, entropy=ordinal.to_bytes(8, "big")),
        session=None,
        policy=None,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What of an event does not depend on where it was written."""

    session_id: str | None
    version: int | None
    event_type: EventType


def told(events: Sequence[Event]) -> list[Told]:
    return [Told(each.session_id, each.state_version, each.event_type) for each in events]
