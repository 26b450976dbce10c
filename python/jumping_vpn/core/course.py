"""The moves that one occasion causes: applied in order, each with its event, saved in one write.

A death and its replacement are two moves with two versions even where one request causes both. The
deadlines of a record follow its moves.
"""

from dataclasses import dataclass, replace

from jumping_vpn.core.event_data import Data, Figures, Handover
from jumping_vpn.core.events import (
    Event,
    EventType,
    Origin,
    Stamp,
    event_of_move,
    make_event,
    subject_of,
)
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.deadlines import after_move, next_due
from jumping_vpn.core.ready import Save, Touch
from jumping_vpn.core.record import Record, Root, check_record
from jumping_vpn.core.session.inputs import Input
from jumping_vpn.core.session.machine import Moved, Refused, advance
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire.messages import SeenMove


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One occasion: what both clocks show, and fresh random bytes for the ids of its events."""

    now: Millis
    wall_ms: int
    entropy: bytes


class Course:
    """What happens to one record on one occasion. `record` is always the newest."""

    def __init__(self, record: Record, moment: Moment, origin: Origin) -> None:
        self.record = record
        self.moment = moment
        self.events: list[Event] = []
        self.observed: list[Event] = []
        self.moves: list[Moved] = []
        self.given = record
        self.origin = origin
        self._stamp = Stamp(wall_ms=moment.wall_ms, entropy=moment.entropy)

    def apply(
        self,
        given: Input,
        *,
        detail: Handover | Figures | None = None,
        since: Millis | None = None,
        confirm_ms: Millis = Millis(0),
    ) -> Moved | Refused:
        """Give the machine an input; a move takes effect in `record`. `since` dates it back.

        `confirm_ms` is how long a binding that it makes may wait for its first packet.
        """
        now = self.moment.now if since is None else since
        outcome = advance(self.record.session, given, now=now)
        if isinstance(outcome, Moved):
            deadlines = after_move(
                self.record.deadlines,
                outcome,
                self.record.policy,
                confirm_ms=confirm_ms,
                now=now,
            )
            self.record = replace(self.record, session=outcome.after, deadlines=deadlines)
            self.moves.append(outcome)
            self.events.append(
                event_of_move(
                    outcome,
                    subject_of(self.record),
                    origin=self.origin,
                    stamp=self._next_stamp(),
                    detail=detail,
                )
            )
        return outcome

    def apply_due(self) -> None:
        """Apply every deadline that has passed, in the order of precedence."""
        record, now = self.record, self.moment.now
        while (given := next_due(record.session, record.deadlines, now=now)) is not None:
            self.apply(given)
            record = self.record

    def observe(self, event_type: EventType, reason: Reason, data: Data) -> None:
        """Note an observation: an event that is no move."""
        self.observed.append(
            make_event(
                event_type,
                reason,
                data,
                origin=self.origin,
                stamp=self._next_stamp(),
                session=self.record.session,
                policy=subject_of(self.record).policy,
            )
        )

    def save(self, *, create: bool = False, lazy: bool = False) -> Save | Touch | None:
        """Return the one write that this occasion needs; `lazy` where it holds no move."""
        if self.record.session.state is State.TERMINATED:
            self.record = without_secrets(self.record)
        if self.record == self.given and not create:
            return None
        moment = self.moment
        written = replace(self.record.written, now=moment.now, wall_ms=moment.wall_ms)
        record = replace(self.record, written=written)
        check_record(record)
        if not self.moves:
            return Touch(record=record, lazy=lazy)
        before = self.given.session
        return Save(
            record=record,
            expected_version=before.version,
            expected_ownership_epoch=before.ownership_epoch,
            events=tuple(self.events),
            create=create,
        )

    def seen_moves(self) -> list[SeenMove]:
        """Return the moves as messages tell them."""
        return [
            SeenMove(
                move.after.version,
                move.before.state.value,
                move.after.state.value,
                move.reason.value,
                self.moment.wall_ms,
            )
            for move in self.moves
        ]

    def _next_stamp(self) -> Stamp:
        stamp, self._stamp = self._stamp, self._stamp.next()
        return stamp


def without_secrets(record: Record) -> Record:
    """Return the record of a session that is over: its roots are gone."""
    ended = Root(
        epoch=record.confirmed.epoch, sealed=b"", attempt=record.confirmed.attempt, digest=b""
    )
    return replace(record, confirmed=ended, unconfirmed=None)
