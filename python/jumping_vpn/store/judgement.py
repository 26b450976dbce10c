"""Whether a write's expectations hold: the same answer in every store."""

from collections.abc import Sequence

from msgspec import Struct

from jumping_vpn.core.events import MOVE_TYPES, Event
from jumping_vpn.core.ids import OwnershipEpoch, SessionId, SessionNumber, StateVersion
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.invariants import ensure
from jumping_vpn.store.contract import (
    OwnershipConflict,
    SaveRefused,
    SessionExists,
    SessionMissing,
    StaleVersion,
)


class Head(Struct, frozen=True, kw_only=True):
    """What compare-and-set compares: a session as the store has it."""

    number: SessionNumber
    version: StateVersion
    ownership_epoch: OwnershipEpoch


def check_save(save: Save) -> None:
    """Raise InvariantBroken for a save that no core may ask for: each version has its one event."""
    session = save.record.session
    moves = count_moves(save.events)
    grown = session.version - save.expected_version
    ensure(moves == grown, "{} move events for {} versions", moves, grown)
    ensure(save.create == (save.record.number == 0), "only a create has no number")
    ensure(session.ownership_epoch >= save.expected_ownership_epoch, "ownership epoch falls")


def count_moves(events: Sequence[Event]) -> int:
    """Return how many of the events are moves."""
    return sum(each.event_type in MOVE_TYPES for each in events)


def touching(record: Record) -> Save:
    """Return the save that changes only what no move guards."""
    session = record.session
    return Save(
        record=record,
        expected_version=session.version,
        expected_ownership_epoch=session.ownership_epoch,
        events=(),
    )


def refusal(save: Save, found: Head | None) -> SaveRefused | None:
    """Return why `save` is refused where the store has `found`, or None when it may be written."""
    session_id: SessionId = save.record.session.session_id
    if save.create:
        return None if found is None else SessionExists(session_id, "exists already")
    if found is None:
        return SessionMissing(session_id, "does not exist")
    if found.ownership_epoch != save.expected_ownership_epoch:
        return OwnershipConflict(
            session_id, expected=save.expected_ownership_epoch, found=found.ownership_epoch
        )
    if found.version != save.expected_version:
        return StaleVersion(session_id, expected=save.expected_version, found=found.version)
    return None
