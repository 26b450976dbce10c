"""The moves that one occasion causes: applied in order, each with its event, saved in one write.

A death and its replacement are two moves with two versions even where one request causes both. The
deadlines of a record follow its moves.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core.event_data import Data, Figures, Handover
from jumping_vpn.core.events import (
    Event,
    EventType,
    Origin,
    Stamp,
    event_of_move,
    event_of_refusal,
    make_event,
    subject_of,
)
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.deadlines import after_move, next_due
from jumping_vpn.core.ready import Save, Touch
from jumping_vpn.core.record import Record, check_record
from jumping_vpn.core.session.inputs import Input
from jumping_vpn.core.session.machine import Moved, Refused, advance
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire.messages import SeenMove


class Moment(Struct, frozen=True, kw_only=True):
    """One occasion: what both clocks show, and fresh random bytes for the ids of its events."""

    now: Millis
    wall_ms: int
    entropy: bytes


class Course:
    """What happens to one record on one occasion: `given` is before it, `record` always the newest.

    Changes are gathered and made to the record when it is next looked at: a record is large, and a
    jump changes it in five places. `told` are the moves as messages tell them.
    """

    def __init__(self, record: Record, moment: Moment, origin: Origin) -> None:
        self.session = record.session
        self.deadlines = record.deadlines
        self.moment = moment
        self.events: list[Event] = []
        self.observed: list[Event] = []
        self.moves: list[Moved] = []
        self.told: list[SeenMove] = []
        self.refused: list[Refused] = []
        self.given = record
        self.origin = origin
        self._record = record
        self._changes: dict[str, Any] = {}
        self._subject = subject_of(record)
        self._stamp = Stamp(wall_ms=moment.wall_ms, entropy=moment.entropy)

    @property
    def record(self) -> Record:
        """Return the record with every change so far."""
        if self._changes:
            self._record = replace(self._record, **self._changes)
            self._changes = {}
        return self._record

    def change(self, **fields: Any) -> None:  # noqa: ANN401  the fields of a record
        """Change fields of the record that no move changes, or that a fact changes without one."""
        self._changes |= fields
        self.session = fields.get("session", self.session)
        self.deadlines = fields.get("deadlines", self.deadlines)
        if "policy" in fields:
            self._subject = subject_of(self.record)

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
        outcome = advance(self.session, given, now=now)
        if isinstance(outcome, Refused):
            self.refused.append(outcome)
        else:
            deadlines = after_move(
                self.deadlines, outcome, self.given.policy, confirm_ms=confirm_ms, now=now
            )
            self.change(session=outcome.after, deadlines=deadlines)
            self.moves.append(outcome)
            self.told.append(self._as_told(outcome))
            self.events.append(
                event_of_move(
                    outcome,
                    self._subject,
                    origin=self.origin,
                    stamp=self._next_stamp(),
                    detail=detail,
                )
            )
        return outcome

    def apply_due(self) -> None:
        """Apply every deadline that has passed, in the order of precedence."""
        now = self.moment.now
        while (given := next_due(self.session, self.deadlines, now=now)) is not None:
            self.apply(given)

    def observe(self, event_type: EventType, reason: Reason, data: Data) -> None:
        """Note an observation: an event that is no move."""
        self.observed.append(
            make_event(
                event_type,
                reason,
                data,
                origin=self.origin,
                stamp=self._next_stamp(),
                session=self.session,
                policy=self._subject.policy,
            )
        )

    def observe_refusal(self, refused: Refused) -> None:
        """Note an input that the machine refused."""
        stamp = self._next_stamp()
        self.observed.append(
            event_of_refusal(refused, self._subject, origin=self.origin, stamp=stamp)
        )

    def save(
        self,
        *,
        create: bool = False,
        lazy: bool = False,
        plan: Any = None,  # noqa: ANN401  the core's own, and handed back to it
    ) -> Save | Touch | None:
        """Return the one write that this occasion needs; `lazy` where it holds no move."""
        if self.session.state is State.TERMINATED:
            self._forget_secrets()
        if not self.moves and self.record == self.given:
            return None
        moment = self.moment
        self.change(written=replace(self.given.written, now=moment.now, wall_ms=moment.wall_ms))
        record = self.record
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
            applied=tuple(move.input for move in self.moves),
            plan=plan,
        )

    def _as_told(self, move: Moved) -> SeenMove:
        """Return a move as messages tell it."""
        before, after = move.before, move.after
        binding = after.binding
        bound = 0 if binding is None or binding == before.binding else binding.transport.id
        wall_ms = self.moment.wall_ms
        return SeenMove(after.version, before.state, after.state, move.reason, wall_ms, bound)

    def _next_stamp(self) -> Stamp:
        stamp, self._stamp = self._stamp, self._stamp.next()
        return stamp

    def _forget_secrets(self) -> None:
        """Take the roots out of the record of a session that is over."""
        confirmed = replace(self.record.confirmed, sealed=b"", digest=b"")
        self.change(confirmed=confirmed, unconfirmed=None)
