"""What the store, the state files and the logs must tell, judged at each write.

The rules of a write are those of the exploration (`sim.store`): its events tell exactly its moves,
the table allows them, versions grow by one, floors and epochs never go back, an attempt is accepted
once, an end is an end.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.event_data import AttemptData, MoveData, RejectData
from jumping_vpn.core.events import Event, EventType
from jumping_vpn.core.ids import SessionId, SessionNumber
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record
from jumping_vpn.core.replay import replay
from jumping_vpn.core.session.inputs import BindingLost, Input
from jumping_vpn.core.session.model import Session, State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.sim.store import Ledger, created, saved, touched
from jumping_vpn.sim.virtual.calendar import US_PER_MS
from jumping_vpn.sim.virtual.store import Witness

PLANNED: Final = (Reason.QUALITY_SWITCH, Reason.OPERATOR_SWITCH, Reason.REKEY)
"""Causes of a wish that begins anew; a person may order a jump at any time."""
HELD_US: Final = 5_000_000
CLOCKS_DIFFER: Final = 1_000
"""One part of so many: more than the clock of a client gains."""
MINUTE_US: Final = 60_000_000
NEVER: Final = (Reason.SECURITY_VIOLATION, Reason.OWNERSHIP_AMBIGUOUS)
"""No honest client and no honest store gives a reason for such an end."""


class Ledgers(Witness):
    """The books of every session."""

    def __init__(
        self,
        broken: Callable[[str], None],
        landmark: Callable[[str], None],
        now: Callable[[], int],
    ) -> None:
        self.books: dict[SessionId, Ledger] = {}
        self.writes: Counter[str] = Counter()
        self.on_write: Callable[[str, Record], None] = lambda *_: None
        self._broken = broken
        self._landmark = landmark
        self._now = now
        self._switches: dict[SessionId, deque[int]] = {}

    def created(self, save: Save, number: SessionNumber) -> None:
        """See a session that is new."""
        session_id = save.record.session.session_id
        if session_id in self.books:
            self._broken("a session was created twice")
        if any(_is_of(book, save.record.client_name) for book in self.books.values()):
            self._landmark("two sessions of one client followed each other")
        self._enter(session_id, created(Ledger(), save, number), save.record, save.events)

    def saved(self, save: Save) -> None:
        """See a session that moved."""
        session_id = save.record.session.session_id
        self._judge_restart(save.record, save.applied)
        self._enter(session_id, saved(self.books[session_id], save), save.record, save.events)

    def touched(self, record: Record) -> None:
        """See a record that changed without a move."""
        session_id = record.session.session_id
        self._judge_restart(record, ())
        self._enter(session_id, touched(self.books[session_id], record), record, ())

    def appended(self, events: Sequence[Event]) -> None:
        """See observations of a gateway."""
        for event in events:
            self._landmark(f"gateway {event.event_type} {event.reason_code}")

    def landmark(self, name: str) -> None:
        """See that something interesting happened."""
        self._landmark(name)

    def _enter(
        self, session_id: SessionId, book: Ledger | None, record: Record, events: Sequence[Event]
    ) -> None:
        if book is None:
            self._broken("the store did what its contract refuses")
            return
        for text in book.broken:
            self._broken(f"session {session_id.hex()[:8]}: {text}")
        self.books[session_id] = replace(book, broken=())
        for event in events:
            self._judge(session_id, event, record)
        self.on_write(",".join(event.reason_code for event in events), record)

    def _judge_restart(self, record: Record, applied: Sequence[Input]) -> None:
        """See that a start of the gateway begins with the loss of what an earlier one had bound."""
        before = self.books[record.session.session_id].record
        if before is None or before.session.binding is None:
            return
        if before.written.incarnation == record.written.incarnation:
            return
        first = applied[0] if applied else None
        if not isinstance(first, BindingLost) or first.reason is not Reason.GATEWAY_RESTARTED:
            self._broken("a gateway that started went on with a binding that it never made")

    def _judge(self, session_id: SessionId, event: Event, record: Record) -> None:
        self._landmark(f"gateway {event.event_type} {event.reason_code}")
        if isinstance(event.data, MoveData):
            self._landmark(f"move {event.data.state_before} {event.data.input}")
        if event.reason_code in NEVER:
            self._broken(f"a session of honest peers ended with {event.reason_code}")
        if event.event_type is EventType.TRANSPORT_SWITCH:
            self._count_switch(session_id, record)

    def _count_switch(self, session_id: SessionId, record: Record) -> None:
        now, switches = self._now(), self._switches.setdefault(session_id, deque())
        switches.append(now)
        while switches[0] <= now - MINUTE_US:
            switches.popleft()
        # A jump that supersedes an unconfirmed binding is the same jump once more.
        if len(record.jumps) > record.policy.max_switches_per_minute:
            self._broken(f"{len(record.jumps)} jumps count within a minute")


class ClientBooks:
    """What one client's log and state file told last."""

    def __init__(
        self, client: int, broken: Callable[[str], None], landmark: Callable[[str], None]
    ) -> None:
        self.state: ClientState | None = None
        self._who = f"client {client}"
        self._broken = broken
        self._landmark = landmark
        self._told: dict[str, Session | None] = {}
        self._may_ask_from = 0

    def event(self, event: Event, *, now: int) -> None:
        """See an event of the client's log."""
        self._watch_budget(event, now=now)
        self._landmark(f"client {event.event_type} {event.reason_code}")
        if event.event_type in {EventType.NODE_STARTED, EventType.EVENTS_DROPPED}:
            self._told = {key: each for key, each in self._told.items() if _is_over(each)}
            return
        if event.session_id is not None:
            replayed = replay(self._told.get(event.session_id), event)
            self._told[event.session_id] = replayed.session
            for text in replayed.broken:
                self._broken(f"the log of {self._who}: {text}")

    def _watch_budget(self, event: Event, *, now: int) -> None:
        """See that nobody asks who was told that the session may not jump before long."""
        data = event.data
        for_life = isinstance(data, AttemptData) and data.cause not in PLANNED
        if for_life and now < self._may_ask_from:
            early_ms = (self._may_ask_from - now) // US_PER_MS
            self._broken(f"{self._who} asked {early_ms} ms before its session may jump again")
        if isinstance(data, RejectData) and event.reason_code == Reason.SWITCH_RATE_LIMITED:
            wait_us = data.retry_after_ms * US_PER_MS
            self._may_ask_from = now + wait_us - wait_us // CLOCKS_DIFFER
        elif event.event_type in {EventType.NODE_STARTED, EventType.SESSION_CREATED}:
            self._may_ask_from = 0

    def was_held(self, *, now: int) -> bool:
        """Say whether the client had to wait until now, or shortly before, to ask again."""
        return now < self._may_ask_from + HELD_US

    def kept(self, state: ClientState | None) -> None:
        """See what the state file says from here on."""
        before, self.state = self.state, state
        if before is None or state is None or before.session_id != state.session_id:
            return
        pairs = (
            ("version", before.version, state.version),
            ("epoch", before.epoch, state.epoch),
            ("attempts", before.attempts_reserved, state.attempts_reserved),
            ("sequences", before.sequences_reserved, state.sequences_reserved),
        )
        for what, was, is_now in pairs:
            if is_now < was:
                self._broken(f"{what} in the state file of {self._who} went back: {was}, {is_now}")


def _is_of(book: Ledger, client: str) -> bool:
    return book.record is not None and book.record.client_name == client


def _is_over(session: Session | None) -> bool:
    return session is not None and session.state is State.TERMINATED
