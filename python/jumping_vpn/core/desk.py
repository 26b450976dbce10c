"""What every part of the gateway's role shares, and how an occasion begins and ends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from jumping_vpn.core.course import Course, Moment
from jumping_vpn.core.events import Origin
from jumping_vpn.core.ids import Millis, NodeId, SessionId
from jumping_vpn.core.memory import Memory, new_memory
from jumping_vpn.core.policy.deadlines import wake_at
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Bind, DropBinding, Message, Ready, Release, Send
from jumping_vpn.core.record import Reading, Record, resumed
from jumping_vpn.core.session.inputs import BindingLost, in_precedence
from jumping_vpn.core.session.model import Session, State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire import messages as m

Allocate: TypeAlias = Callable[[SessionId], tuple[str, ...] | None]
"""Choose a session's inner addresses, the same again for the same session; None: none left."""
NameOf: TypeAlias = Callable[[bytes], str | None]
"""Return the configured name of a client's public key, None for a key that is not allowed."""

DEFAULTS: Final = Policy().to_mapping()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """What the node grants and announces; `policy` is the operator's, clients may ask for less.

    `started` is when this process began: bindings that an earlier one made are lost since then.
    """

    node_id: NodeId
    incarnation: int
    started: Millis
    origin: Origin
    policy: Policy
    policy_version: int
    routes: tuple[str, ...]
    dns: tuple[str, ...]
    endpoints: tuple[str, ...]
    mtu: int
    lookup_ids: int = 8


class Desk:
    """The gateway's shared state. Sequences never repeat: they start with the incarnation."""

    def __init__(self, settings: GatewaySettings, *, allocate: Allocate, name_of: NameOf) -> None:
        self.settings = settings
        self.allocate = allocate
        self.name_of = name_of
        self._memories: dict[SessionId, Memory] = {}
        self._sequence = settings.incarnation << 32

    def memory_of(self, record: Record, *, now: Millis) -> Memory:
        """Return what is remembered of a session."""
        session_id = record.session.session_id
        memory = self._memories.get(session_id)
        if memory is None:
            memory = self._memories[session_id] = new_memory(record.policy, now=now)
        return memory

    def forget(self, session_id: SessionId) -> None:
        """Drop what is remembered of a session."""
        self._memories.pop(session_id, None)

    def open(self, record: Record, moment: Moment, *, due: bool = True) -> Course:
        """Begin an occasion: what a restart and a failed write left owing comes first.

        With `due`, what time alone makes true follows at once.
        """
        reading = Reading(
            now=moment.now, wall_ms=moment.wall_ms, incarnation=self.settings.incarnation
        )
        record = resumed(record, reading)
        course = Course(record, moment, self.settings.origin)
        memory = self.memory_of(record, now=moment.now)
        binding = record.session.binding
        if binding is not None and not memory.is_live(binding.epoch):
            lost = BindingLost(epoch=binding.epoch, reason=Reason.GATEWAY_RESTARTED)
            course.apply(lost, since=self.settings.started)
        owed, memory.owed = memory.owed, ()
        for given in in_precedence(owed):
            course.apply(given)
        if due:
            course.apply_due()
        return course

    def close(  # noqa: PLR0913  what an occasion may end with
        self,
        course: Course,
        *,
        bind: tuple[Bind, ...] = (),
        send: tuple[Send, ...] = (),
        lazy: bool = False,
        create: bool = False,
        plan: object = None,
    ) -> Ready:
        """End an occasion: one write, what the moves mean for the binding, and the next waking.

        `plan` comes back with the write if it fails.
        """
        save = course.save(create=create, lazy=lazy, plan=plan)
        record, now = course.record, course.moment.now
        memory = self.memory_of(record, now=now)
        for refused in course.refused:
            if memory.may_tell_refusal(now=now):
                course.observe_refusal(refused)
        memory.remember(course.told)
        memory.confirm_timeouts += sum(
            move.reason is Reason.CONFIRM_TIMEOUT for move in course.moves
        )
        bind += self._binds_of(course, memory)
        kept = record.session.binding is not None and not bind
        if course.moves and kept:
            send += (self.notice(record, memory, course.moment),)
        if record.session.state is State.TERMINATED:
            self.forget(record.session.session_id)
        return Ready(
            save=save,
            bind=bind,
            send=send,
            observe=tuple(course.observed),
            wake_at=_wake_at(record, memory),
        )

    def next_waking(self, record: Record, *, now: Millis) -> Millis | None:
        """Return when `wake` is due for a session."""
        return _wake_at(record, self.memory_of(record, now=now))

    def notice(self, record: Record, memory: Memory, moment: Moment) -> Message:
        """Tell the client the moves it has not acknowledged, and plan to say it again."""
        memory.notice_tries = 0
        memory.schedule_notice(now=moment.now)
        return self.repeat_notice(record, memory, moment)

    def repeat_notice(self, record: Record, memory: Memory, moment: Moment) -> Message:
        """Return the notice of every move that the client has not acknowledged."""
        payload = m.StateNotice(moves=memory.unseen(above=memory.seen_version))
        return self.message(record, payload, moment)

    def message(
        self, record: Record, payload: m.Payload, moment: Moment, *, ids: int = 0
    ) -> Message:
        """Return an order to send a control message under the session's binding."""
        envelope = self.envelope(record.session, payload, moment)
        return Message(number=record.number, message=envelope, ids=ids)

    def envelope(
        self, session: Session, payload: m.Payload, moment: Moment, *, sequence: int | None = None
    ) -> m.Envelope:
        """Return a message about the session; without `sequence` it gets the next one."""
        if sequence is None:
            self._sequence += 1
            sequence = self._sequence
        return m.Envelope(
            session_id=session.session_id,
            state_version=session.version,
            binding_epoch=session.epoch,
            ts_ms=moment.wall_ms,
            sequence=sequence,
            payload=payload,
        )

    def unborn_envelope(
        self, session_id: SessionId, payload: m.Payload, moment: Moment
    ) -> m.Envelope:
        """Return a message about a session that was not created."""
        self._sequence += 1
        return m.Envelope(
            session_id=session_id,
            state_version=0,
            binding_epoch=0,
            ts_ms=moment.wall_ms,
            sequence=self._sequence,
            payload=payload,
        )

    def _binds_of(self, course: Course, memory: Memory) -> tuple[Bind, ...]:
        before, record = course.given.session, course.record
        live = before.binding is not None and memory.is_live(before.binding.epoch)
        if before.binding is not None and before.binding != record.session.binding:
            memory.left = before.binding.transport
        if record.session.state is State.TERMINATED:
            words = self._last_words(course) if live else None
            return (
                Release(
                    number=record.number,
                    session_id=record.session.session_id,
                    last_words=words,
                ),
            )
        if not live or before.binding is None or record.session.binding is not None:
            return ()
        words = self._last_words(course)
        return (DropBinding(number=record.number, epoch=before.binding.epoch, last_words=words),)

    def _last_words(self, course: Course) -> m.Envelope:
        session, reason = course.record.session, course.moves[-1].reason
        payload: m.Payload
        if session.state is not State.TERMINATED:
            payload = m.TransportDead(epoch=session.epoch, cause=reason.value)
        elif reason is Reason.CLIENT_REQUEST:
            payload = m.TerminateAck(reason=reason.value)
        else:
            payload = m.Terminate(reason=reason.value)
        return self.envelope(session, payload, course.moment)


def differences(policy: Policy) -> dict[str, int | float | tuple[str, ...]]:
    """Return the fields of a policy that differ from the defaults, as messages carry it."""
    return {name: value for name, value in policy.to_mapping().items() if value != DEFAULTS[name]}


def _wake_at(record: Record, memory: Memory) -> Millis | None:
    candidates = (
        wake_at(record.session, record.deadlines),
        memory.notice_at if record.session.binding is not None else None,
        memory.judge_at,
    )
    return min((at for at in candidates if at is not None), default=None)
