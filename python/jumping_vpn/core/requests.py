"""The gateway's answer to a REATTACH_REQUEST: claim, ladder, moves, one write, one answer."""

from msgspec import Struct

from jumping_vpn.core.births import transport_of
from jumping_vpn.core.course import Course, Moment
from jumping_vpn.core.desk import Desk
from jumping_vpn.core.facts import ReattachRequested
from jumping_vpn.core.jumps import (
    Jump,
    accept,
    apply_denial,
    claim_of,
    note_attempt,
    observe_denial,
    observe_suspicion,
)
from jumping_vpn.core.ready import (
    BindJump,
    Derived,
    DeriveJump,
    Forget,
    Gone,
    Ready,
    RepeatAnswer,
    Respond,
    SaveFailure,
)
from jumping_vpn.core.reattach import RATE_RUNG, Admitted, Answer, Commit, Denied, admit, unsaved
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.inputs import ProtocolViolated
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import Malformation, ProtocolError, decode


class Accepted(Struct, frozen=True, kw_only=True):
    """The plan of a jump between deriving its root and saving it."""

    course: Course
    jump: Jump
    admitted: Admitted


def decide(desk: Desk, fact: ReattachRequested, record: Record | None, moment: Moment) -> Ready:
    """Return what an authentic request means: a binding to derive, a refusal, or silence."""
    if record is None or record.session.state is State.TERMINATED:
        return Ready(send=(Gone(token=fact.token),))
    course = desk.open(record, moment, due=False)
    if course.session.state is State.TERMINATED:
        return desk.close(course, send=(Gone(token=fact.token),))
    memory = desk.memory_of(record, now=moment.now)
    try:
        jump = read(fact, record)
    except ProtocolError as error:
        return refuse_unreadable(desk, fact, course, error)
    claim = claim_of(jump, course.record, memory, node=desk.settings.node_id, moment=moment)
    verdict = admit(claim)
    if isinstance(verdict, Admitted) or verdict.rung.number > RATE_RUNG:
        memory.bucket.take()
    if isinstance(verdict, Denied) and verdict.reason is Reason.VERSION_AHEAD:
        doubted, memory.doubted = memory.doubted, jump.fact.attempt
        if doubted != jump.fact.attempt:
            return Ready(read_again=True)
    course.apply_due()
    memory.mark_seen(jump.envelope.state_version)
    memory.client_policy_version = jump.request.policy_version
    note_attempt(course, jump)
    if isinstance(verdict, Denied):
        return _deny(desk, course, jump, verdict)
    return Ready(
        derive=DeriveJump(
            token=fact.token,
            epoch=verdict.epoch,
            owner=desk.settings.node_id,
            ids=max(0, desk.settings.lookup_ids - jump.request.unused_lookup_ids),
            plan=Accepted(course=course, jump=jump, admitted=verdict),
        )
    )


def complete(desk: Desk, plan: Accepted, derived: Derived, moment: Moment) -> Ready:
    """Return the write, the binding and the acknowledgement of an admitted request."""
    course, jump, fact, now = plan.course, plan.jump, plan.jump.fact, moment.now
    course.moment = moment
    memory = desk.memory_of(course.given, now=now)
    before = course.session.binding
    accept(course, jump, plan.admitted, derived, memory)
    if memory.live_from is None:
        memory.live_from = plan.admitted.epoch
    memory.accepted_at = now
    keep_previous = before is not None and jump.request.trigger is not m.Trigger.DEATH
    bind = (BindJump(token=fact.token, keep_previous=keep_previous),)
    answer = _acknowledge(desk, course, jump, derived)
    return desk.close(course, bind=bind, send=(answer,), plan=plan)


def read(fact: ReattachRequested, record: Record) -> Jump:
    """Return the request that a fact carries, or raise ProtocolError."""
    envelope = decode(fact.message)
    request = envelope.payload
    if not isinstance(request, m.ReattachRequest):
        raise ProtocolError(Malformation.UNREADABLE, "no REATTACH_REQUEST")
    if envelope.session_id != record.session.session_id or envelope.sequence != fact.attempt:
        raise ProtocolError(Malformation.UNREADABLE, "another session's, or another attempt's")
    return Jump(
        fact=fact, envelope=envelope, request=request, transport=transport_of(request.candidate)
    )


def refuse_unreadable(
    desk: Desk, fact: ReattachRequested, course: Course, error: ProtocolError
) -> Ready:
    """Return what a proven request means that cannot be read: another version, or a violation."""
    session, moment = course.record.session, course.moment
    reason = Reason.VERSION_UNSUPPORTED
    if error.what is not Malformation.UNKNOWN_VERSION:
        reason = Reason.MESSAGE_MALFORMED
        course.apply(ProtocolViolated())
    observe_suspicion(course, reason, error.what.value, fact.source)
    reject = m.ReattachReject(reason=reason.value, detail=error.detail[:200])
    envelope = desk.envelope(session, reject, moment, sequence=fact.attempt)
    return desk.close(course, send=(Respond(token=fact.token, message=envelope),))


def refuse_unsaved(
    desk: Desk, plan: Accepted, failure: SaveFailure, moment: Moment
) -> tuple[Course, Respond]:
    """Return the answer of a jump whose write failed, with its events: the last rung failed."""
    course = Course(plan.course.given, moment, desk.settings.origin)
    denied = unsaved(
        Commit.LOST if failure is SaveFailure.OWNERSHIP_CONFLICT else Commit.IMPOSSIBLE
    )
    observe_denial(course, plan.jump, denied)
    return course, _reject(desk, course, plan.jump, denied)


def _deny(desk: Desk, course: Course, jump: Jump, denied: Denied) -> Ready:
    apply_denial(course, jump, denied)
    observe_denial(course, jump, denied)
    if denied.rung.security:
        observe_suspicion(course, denied.reason, denied.rung.check, jump.fact.source)
    lazy = denied.reason is Reason.RATE_LIMITED
    token, answer = jump.fact.token, denied.rung.answer
    match answer:
        case Answer.SILENCE:
            return desk.close(course, send=(Forget(token=token),), lazy=lazy)
        case Answer.GONE_TOKEN:
            return desk.close(course, send=(Gone(token=token),), lazy=lazy)
    reject = _reject(desk, course, jump, denied)
    if answer is Answer.REPEAT:
        repeat = RepeatAnswer(token=token, otherwise=reject.message)
        return desk.close(course, send=(repeat,), lazy=True)
    return desk.close(course, send=(reject,), lazy=lazy)


def _reject(desk: Desk, course: Course, jump: Jump, denied: Denied) -> Respond:
    endpoints = desk.settings.endpoints if denied.reason is Reason.NOT_OWNER else ()
    payload = m.ReattachReject(
        reason=denied.reason.value, retry_after_ms=denied.retry_after, endpoints=endpoints
    )
    fact = jump.fact
    envelope = desk.envelope(course.record.session, payload, course.moment, sequence=fact.attempt)
    return Respond(token=fact.token, message=envelope)


def _acknowledge(desk: Desk, course: Course, jump: Jump, derived: Derived) -> Respond:
    session, fact = course.session, jump.fact
    memory = desk.memory_of(course.given, now=course.moment.now)
    known = jump.envelope.state_version
    moves = memory.unseen(above=known, newest=course.told)
    payload = m.ReattachAck(
        owner=session.owner,
        moves=moves,
        moves_omitted=max(0, session.version - known - len(moves)),
        lookup_ids=derived.lookup_ids,
        policy_version=course.given.policy_version,
        window_lost=derived.window_lost,
        given_up=derived.given_up,
        in_doubt=derived.in_doubt if fact.window_lost else 0,
    )
    envelope = desk.envelope(session, payload, course.moment, sequence=fact.attempt)
    return Respond(token=fact.token, message=envelope)
