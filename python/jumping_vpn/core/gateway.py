"""The gateway's role: facts, commands and time in; what to do next out. No I/O."""

from typing import Final

from jumping_vpn.core import births, requests
from jumping_vpn.core import facts as f
from jumping_vpn.core.commands import AnnounceEndpoints, ChangePolicy, Command, Drain, Terminate
from jumping_vpn.core.course import Course, Moment
from jumping_vpn.core.desk import Allocate, Desk, GatewaySettings, NameOf, differences
from jumping_vpn.core.event_data import Figures, PolicyData, SuccessData
from jumping_vpn.core.events import EventType, figures_of, policy_mark
from jumping_vpn.core.ids import BindingEpoch, Millis, OwnershipEpoch, SessionId
from jumping_vpn.core.jumps import confirm, death_of, observe_suspicion, observe_trains
from jumping_vpn.core.policy.judgement import Judgement, judge, settle
from jumping_vpn.core.ready import (
    NOTHING,
    AdoptBirth,
    Derive,
    Derived,
    DeriveJump,
    Forget,
    Gone,
    Install,
    Ready,
    RepeatAnswer,
    Respond,
    Save,
    SaveFailure,
    SealBirth,
    Send,
    SessionFound,
    SetLimits,
    Touch,
)
from jumping_vpn.core.record import Record, Root
from jumping_vpn.core.redaction import show_transport
from jumping_vpn.core.session.inputs import (
    BindingLost,
    Input,
    OwnershipMoved,
    ProtocolViolated,
    ReattachVerified,
    TerminateVerified,
)
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import Malformation, ProtocolError, decode
from jumping_vpn.core.wire.constants import LOOKUP_IDS_LOW

SAVE_RETRY: Final = Millis(1_000)


class GatewayCore:
    """One per node. Give it each fact with its session's newest record, one at a time per session.

    It keeps only what may be lost: rates, judgement, recent moves. The rest is in the record.
    `entropy` is at least 8 fresh random bytes for the ids of events.
    """

    def __init__(self, settings: GatewaySettings, *, allocate: Allocate, name_of: NameOf) -> None:
        self._desk = Desk(settings, allocate=allocate, name_of=name_of)

    def handle(
        self, fact: f.Fact, record: Record | None, *, now: Millis, wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what a fact means. `record` None: the store has no such session (linearizable)."""
        moment = Moment(now=now, wall_ms=wall_ms, entropy=entropy)
        match fact:
            case f.BirthProven():
                return births.answer(self._desk, fact, record, moment)
            case f.SessionWanted():
                return self._on_wanted(fact, record, now=now)
            case f.ReattachRequested():
                return requests.decide(self._desk, fact, record, moment)
        if record is None or record.session.state is State.TERMINATED:
            return NOTHING
        return self._on_observation(fact, self._desk.open(record, moment))

    def derived(
        self, derive: Derive, derived: Derived, *, now: Millis, wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what follows a performed `derive`; the same occasion goes on."""
        moment = Moment(now=now, wall_ms=wall_ms, entropy=entropy)
        match derive:
            case SealBirth(plan=births.Birth() as birth):
                return births.complete(self._desk, birth, derived, moment)
            case DeriveJump(plan=requests.Accepted() as plan):
                return requests.complete(self._desk, plan, derived, moment)
            case _:
                raise TypeError(f"no gateway orders {derive}")

    def unsaved(
        self, ready: Ready, failure: SaveFailure, *, now: Millis, wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what to do instead of the rest of `ready`, whose save failed."""
        moment = Moment(now=now, wall_ms=wall_ms, entropy=entropy)
        if not isinstance(ready.save, Save | Touch):
            return ready
        for order in ready.bind:
            if isinstance(order, AdoptBirth):
                return births.refuse_unsaved(self._desk, order.birth, ready.save.record, moment)
        send = tuple(
            order
            for order in ready.send
            if isinstance(order, Respond | RepeatAnswer | Forget | Gone)
        )
        observe = ready.observe
        if isinstance(ready.save, Save):
            memory = self._desk.memory_of(ready.save.record, now=now)
            memory.forget_moves(above=ready.save.expected_version)
            memory.owed = tuple(
                given for given in ready.save.applied if not isinstance(given, ReattachVerified)
            )
            if isinstance(ready.save.plan, requests.Accepted):
                course, answer = requests.refuse_unsaved(
                    self._desk, ready.save.plan, failure, moment
                )
                send, observe = (answer,), tuple(course.observed)
        return Ready(send=send, observe=observe, wake_at=Millis(now + SAVE_RETRY))

    def command(
        self, command: Command, record: Record, *, now: Millis, wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what an operator's command means for this session."""
        course = self._desk.open(record, Moment(now=now, wall_ms=wall_ms, entropy=entropy))
        match command:
            case Terminate():
                return self._apply(course, TerminateVerified(reason=command.reason))
            case Drain():
                session = course.record.session
                moved = OwnershipMoved(
                    owner=session.owner,
                    ownership_epoch=OwnershipEpoch(session.ownership_epoch + 1),
                    reason=Reason.GATEWAY_DRAINED,
                )
                return self._apply(course, moved)
            case AnnounceEndpoints():
                return self._tell(course, m.EndpointsChanged(endpoints=command.endpoints))
            case ChangePolicy():
                return self._change_policy(course, command)

    def wake(self, record: Record, *, now: Millis, wall_ms: int, entropy: bytes) -> Ready:
        """Return what is due; also for each record after a restart, in the background."""
        course = self._desk.open(record, Moment(now=now, wall_ms=wall_ms, entropy=entropy))
        memory = self._desk.memory_of(record, now=now)
        if memory.judge_at is not None and now >= memory.judge_at:
            session, policy = course.record.session, course.record.policy
            self._judge(course, settle(session, policy, memory.quality, now=now))
        if memory.notice_at is None or now < memory.notice_at or course.moves:
            return self._desk.close(course)
        if course.record.session.binding is None or not memory.moves:
            memory.notice_at = None
            return self._desk.close(course)
        notice = self._desk.repeat_notice(course.record, memory, course.moment)
        memory.schedule_notice(now=now)
        return self._desk.close(course, send=(notice,))

    def forget(self, session_id: SessionId) -> None:
        """Drop the volatile memory of a session that is over."""
        self._desk.forget(session_id)

    def _on_wanted(self, fact: f.SessionWanted, record: Record | None, *, now: Millis) -> Ready:
        if record is None or record.session.state is State.TERMINATED:
            return Ready(send=(Gone(token=fact.token),))
        install = Install(
            number=record.number,
            session_id=record.session.session_id,
            confirmed=_installed(record.confirmed),
            unconfirmed=None if record.unconfirmed is None else _installed(record.unconfirmed),
            addresses=record.addresses,
            policy=record.policy,
        )
        return Ready(
            bind=(install,),
            send=(SessionFound(token=fact.token),),
            wake_at=self._desk.next_waking(record, now=now),
        )

    def _on_observation(self, fact: f.Fact, course: Course) -> Ready:
        match fact:
            case f.MessageReceived():
                return self._on_message(fact, course)
            case f.BindingConfirmed():
                return self._on_confirmed(fact, course)
            case f.PathSampled():
                return self._on_sample(fact, course)
            case f.PeerSilent():
                epoch = BindingEpoch(fact.epoch)
                return self._apply(
                    course, BindingLost(epoch=epoch, reason=Reason.HEARTBEAT_TIMEOUT)
                )
            case f.AddressMoved():
                observe_suspicion(course, Reason.NAT_REBINDING, "AddressMoved", fact.source)
            case f.TrainsGivenUp():
                observe_trains(course, fact)
            case _:
                pass
        return self._desk.close(course)

    def _apply(self, course: Course, given: Input) -> Ready:
        course.apply(given)
        return self._desk.close(course)

    def _tell(self, course: Course, payload: m.Payload, *, ids: int = 0) -> Ready:
        if course.record.session.binding is None:
            return self._desk.close(course)
        order = self._desk.message(course.record, payload, course.moment, ids=ids)
        return self._desk.close(course, send=(order,), lazy=True)

    def _on_message(self, fact: f.MessageReceived, course: Course) -> Ready:
        record = course.record
        try:
            envelope = decode(fact.message)
        except ProtocolError as error:
            return self._on_broken_message(error, course)
        if envelope.session_id != record.session.session_id:
            return self._violate(course, Reason.MESSAGE_MALFORMED, "another session's id")
        if envelope.sequence <= record.control_floor:
            return self._desk.close(course)
        course.change(control_floor=envelope.sequence)
        memory = self._desk.memory_of(record, now=course.moment.now)
        memory.mark_seen(min(envelope.state_version, record.session.version))
        return self._on_payload(envelope.payload, course)

    def _on_payload(  # noqa: PLR0911  one answer for each message
        self, payload: m.Payload, course: Course
    ) -> Ready:
        match payload:
            case m.HandshakeInit():
                grant = births.grant(self._desk, course.record, course.moment)
                return self._desk.close(course, send=(grant,), lazy=True)
            case m.TransportDead():
                epoch = BindingEpoch(payload.epoch)
                return self._apply(course, BindingLost(epoch=epoch, reason=death_of(payload.cause)))
            case m.PathReport() if payload.unused_lookup_ids is not None:
                wanted = self._desk.settings.lookup_ids - payload.unused_lookup_ids
                if payload.unused_lookup_ids < LOOKUP_IDS_LOW and wanted > 0:
                    return self._tell(course, m.PathReport(), ids=wanted)
                return self._desk.close(course, lazy=True)
            case m.Terminate():
                return self._apply(course, TerminateVerified(reason=Reason.CLIENT_REQUEST))
            case m.StateAck() | m.PathReport() | m.MessageReject() | m.TerminateAck():
                return self._desk.close(course, lazy=True)
            case _:
                what = m.TYPE_NAMES[type(payload)]
                return self._violate(course, Reason.MESSAGE_MALFORMED, f"{what} from a client")

    def _on_broken_message(self, error: ProtocolError, course: Course) -> Ready:
        if error.what in {Malformation.UNKNOWN_TYPE, Malformation.UNKNOWN_VERSION}:
            reject = m.MessageReject(
                rejected_type=error.message_type, rejected_sequence=error.sequence
            )
            return self._tell(course, reject)
        return self._violate(course, Reason.MESSAGE_MALFORMED, str(error))

    def _violate(self, course: Course, reason: Reason, what: str) -> Ready:
        observe_suspicion(course, reason, what[:200], None)
        return self._apply(course, ProtocolViolated())

    def _on_confirmed(self, fact: f.BindingConfirmed, course: Course) -> Ready:
        record, now = course.record, course.moment.now
        binding, unconfirmed = record.session.binding, record.unconfirmed
        if unconfirmed is None or unconfirmed.epoch != fact.epoch:
            return self._desk.close(course)
        confirm(course)
        memory = self._desk.memory_of(record, now=now)
        memory.confirm_timeouts = 0
        if binding is not None and binding.epoch == fact.epoch:
            reveal = self._desk.settings.origin.reveal_addresses
            shown = show_transport(binding.transport, reveal=reveal)
            course.observe(
                EventType.REATTACH_SUCCESS,
                Reason.REATTACH_SUCCESS,
                SuccessData(
                    attempt=unconfirmed.attempt, transport=shown, waited_ms=now - binding.since
                ),
            )
        if memory.client_policy_version not in {None, record.policy_version}:
            return self._tell(course, _policy_changed(record))
        return self._desk.close(course, lazy=True)

    def _on_sample(self, sample: f.PathSampled, course: Course) -> Ready:
        record, now = course.record, course.moment.now
        memory = self._desk.memory_of(record, now=now)
        judgement = judge(sample, record.session, record.policy, memory.quality, now=now)
        self._judge(course, judgement, figures_of(sample))
        return self._desk.close(course, lazy=True)

    def _judge(self, course: Course, judgement: Judgement, figures: Figures | None = None) -> None:
        memory = self._desk.memory_of(course.record, now=course.moment.now)
        memory.quality, memory.judge_at = judgement.quality, judgement.wake_at
        if judgement.input is not None:
            course.apply(judgement.input, detail=figures)

    def _change_policy(self, course: Course, command: ChangePolicy) -> Ready:
        record = course.record
        before, after = record.policy.to_mapping(), command.policy.to_mapping()
        course.change(policy=command.policy, policy_version=command.policy_version)
        course.observe(
            EventType.POLICY_CHANGED,
            Reason.OPERATOR_REQUEST,
            PolicyData(
                policy_before=policy_mark(record.policy_version, record.policy),
                changed=tuple(name for name in after if before[name] != after[name]),
            ),
        )
        limits = SetLimits(number=record.number, policy=command.policy)
        send: tuple[Send, ...] = ()
        if record.session.binding is not None:
            changed = _policy_changed(course.record)
            send = (self._desk.message(course.record, changed, course.moment),)
        return self._desk.close(course, bind=(limits,), send=send)


def _installed(root: Root) -> tuple[int, bytes]:
    return root.epoch, root.sealed


def _policy_changed(record: Record) -> m.PolicyChanged:
    return m.PolicyChanged(
        policy=differences(record.policy),
        policy_version=record.policy_version,
        policy_hash=bytes.fromhex(record.policy.hash()),
    )
