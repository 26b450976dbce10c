"""How a verdict of the ladder becomes moves, floors and an accepted binding."""

from typing import Final

from msgspec import Struct

from jumping_vpn.core.course import Course, Moment
from jumping_vpn.core.event_data import (
    DeniedData,
    Handover,
    RateData,
    RejectData,
    SecurityData,
    SegmentationData,
)
from jumping_vpn.core.events import EventType
from jumping_vpn.core.facts import ReattachRequested, TrainsGivenUp
from jumping_vpn.core.ids import Attempt, BindingEpoch, NodeId, StateVersion
from jumping_vpn.core.memory import Memory
from jumping_vpn.core.ownership import hold_of
from jumping_vpn.core.policy.deadlines import after_confirmation, confirm_wait
from jumping_vpn.core.policy.switches import count_switch, within_minute
from jumping_vpn.core.ready import Derived
from jumping_vpn.core.reattach import (
    JUMP_REASONS,
    Admitted,
    Answer,
    Claim,
    Denied,
    jump_reason,
)
from jumping_vpn.core.record import Record, Root
from jumping_vpn.core.redaction import show, show_transport
from jumping_vpn.core.session.inputs import (
    BindingLost,
    OwnershipAmbiguous,
    ReattachVerified,
    SwitchLimitReached,
)
from jumping_vpn.core.session.invariants import ensure
from jumping_vpn.core.session.machine import Moved
from jumping_vpn.core.session.model import Binding, Transport, confirmed
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import R_DEATH
from jumping_vpn.core.wire.messages import Envelope, ReattachRequest, Trigger

DEATHS: Final = {reason.value: reason for reason in R_DEATH}


class Jump(Struct, frozen=True, kw_only=True):
    """A request under decision: the fact, what its message says, and the transport it asks for."""

    fact: ReattachRequested
    envelope: Envelope
    request: ReattachRequest
    transport: Transport
    admitted: Admitted | None = None

    @property
    def cause(self) -> Reason:
        """Return the primary reason on the client's side: what died, or what it wanted."""
        if self.request.trigger is Trigger.DEATH:
            return death_of(self.request.cause)
        return JUMP_REASONS[self.request.trigger]


def death_of(cause: str | None) -> Reason:
    """Return the reason of a death that a peer names; a name from the future is PEER_REPORTED."""
    return DEATHS.get(cause or "", Reason.PEER_REPORTED)


def claim_of(jump: Jump, record: Record, memory: Memory, *, node: NodeId, moment: Moment) -> Claim:
    """Return what the ladder looks at."""
    policy, fact = record.policy, jump.fact
    roots = (record.confirmed, record.unconfirmed)
    return Claim(
        record=record,
        attempt=Attempt(fact.attempt),
        digest=fact.digest,
        proven_by=BindingEpoch(fact.proven_by_epoch),
        trigger=jump.request.trigger,
        transport=jump.transport,
        version=StateVersion(jump.envelope.state_version),
        ts_ms=jump.envelope.ts_ms,
        rate_wait=memory.bucket.wait(
            now=moment.now, rate=policy.reattach_rate, burst=policy.reattach_burst
        ),
        hold=hold_of(record.session, node=node, store_reachable=True),
        now=moment.now,
        wall_ms=moment.wall_ms,
        proof_valid=any(root and root.epoch == fact.proven_by_epoch for root in roots),
    )


def note_attempt(course: Course, jump: Jump) -> None:
    """Raise the floor, and confirm the unconfirmed root if the request was proven under it."""
    record, fact = course.given, jump.fact
    course.change(attempt_floor=Attempt(max(record.attempt_floor, fact.attempt)))
    unconfirmed = record.unconfirmed
    if unconfirmed is not None and unconfirmed.epoch == fact.proven_by_epoch:
        confirm(course)


def confirm(course: Course) -> None:
    """Make the unconfirmed root the confirmed one; the old one is erased with the write.

    It ends a loss only where its binding is still there: the loss of that binding goes on.
    """
    unconfirmed = course.given.unconfirmed
    if unconfirmed is None:
        return
    course.change(confirmed=unconfirmed, unconfirmed=None)
    binding = course.session.binding
    if binding is not None and binding.epoch == unconfirmed.epoch:
        course.change(
            session=confirmed(course.session), deadlines=after_confirmation(course.deadlines)
        )


def report_death(course: Course, jump: Jump) -> None:
    """Apply the death that an authentic, fresh request reports; a stale one changes nothing."""
    if jump.request.trigger is not Trigger.DEATH:
        return
    epoch = BindingEpoch(jump.envelope.binding_epoch)
    course.apply(BindingLost(epoch=epoch, reason=jump.cause))


def accept(
    course: Course, jump: Jump, admitted: Admitted, derived: Derived, memory: Memory
) -> None:
    """Apply an admitted request: the new binding, unconfirmed, and what the jump cost."""
    session, fact, now = course.session, jump.fact, course.moment.now
    bound = session.binding or course.given.session.binding
    left = memory.left if bound is None else bound.transport
    reason = jump_reason(jump.request.trigger, session)
    report_death(course, jump)
    outcome = course.apply(
        ReattachVerified(
            binding=Binding(
                epoch=admitted.epoch, transport=jump.transport, confirmed=False, since=now
            ),
            reason=reason,
        ),
        detail=_handover(jump, derived, course, left),
        confirm_ms=confirm_wait(srtt_us=fact.srtt_us, timeouts=memory.confirm_timeouts),
    )
    ensure(isinstance(outcome, Moved), "the ladder admitted what the table refuses: {}", outcome)
    course.change(
        unconfirmed=Root(
            epoch=admitted.epoch,
            sealed=derived.sealed,
            attempt=Attempt(fact.attempt),
            digest=fact.digest,
        ),
        jumps=count_switch(course.given.jumps, supersedes=admitted.supersedes, now=now),
    )


def apply_denial(course: Course, jump: Jump, denied: Denied) -> None:
    """Apply what a refusal moves: a death it reported, the limit it hit, an ambiguity it showed."""
    if denied.is_fresh:
        report_death(course, jump)
    if denied.reason is Reason.SWITCH_RATE_LIMITED:
        course.apply(SwitchLimitReached())
    if denied.reason is Reason.VERSION_AHEAD:
        course.apply(OwnershipAmbiguous())


def observe_denial(course: Course, jump: Jump, denied: Denied) -> None:
    """Write the events of a refusal. A copy that gets the same answer again is none."""
    if denied.rung.answer is Answer.REPEAT:
        return
    source = show(jump.fact.source, reveal=course.origin.reveal_addresses)
    wait = denied.retry_after
    course.observe(
        EventType.REATTACH_REJECT,
        denied.reason,
        RejectData(
            attempt=jump.fact.attempt,
            check=denied.rung.number,
            source=source,
            answered=denied.rung.answer is Answer.REJECT,
            retry_after_ms=wait,
        ),
    )
    if denied.reason is Reason.RATE_LIMITED:
        course.observe(
            EventType.RATE_LIMIT_TRIGGER,
            denied.reason,
            RateData(limit="reattach_rate", source=source, count=1),
        )
    if denied.reason in {Reason.SWITCH_RATE_LIMITED, Reason.COOLDOWN_ACTIVE}:
        course.observe(
            EventType.SWITCH_DENIED,
            denied.reason,
            DeniedData(
                wanted=show_transport(jump.transport, reveal=course.origin.reveal_addresses),
                switches_in_window=len(within_minute(course.record.jumps, now=course.moment.now)),
                retry_after_ms=wait,
                candidates=(),
            ),
        )


def observe_suspicion(course: Course, reason: Reason, what: str, source: str | None) -> None:
    """Write a security event about what an authentic or forged packet did."""
    shown = None if source is None else show(source, reveal=False)
    course.observe(EventType.SECURITY_EVENT, reason, SecurityData(what=what, source=shown, count=1))


def observe_trains(course: Course, fact: TrainsGivenUp) -> None:
    """Write that segmentation does not work on the way of the session's binding."""
    binding = course.record.session.binding
    if binding is None or binding.epoch != fact.epoch:
        return
    shown = show_transport(binding.transport, reveal=course.origin.reveal_addresses)
    reason = Reason.TRAINS_REFUSED if fact.refused else Reason.TRAINS_VANISHED
    course.observe(EventType.SEGMENTATION_GIVEN_UP, reason, SegmentationData(transport=shown))


def _handover(jump: Jump, derived: Derived, course: Course, left: Transport | None) -> Handover:
    fact, reveal = jump.fact, course.origin.reveal_addresses
    return Handover(
        attempt=fact.attempt,
        cause=jump.cause,
        left=None if left is None else show_transport(left, reveal=reveal),
        srtt_us=fact.srtt_us,
        silent_us=jump.request.detect_ms * 1000,
        given_up_up=fact.given_up,
        given_up_down=derived.given_up,
        in_doubt_up=fact.in_doubt if derived.window_lost else 0,
        in_doubt_down=derived.in_doubt if fact.window_lost else 0,
        client_window_lost=fact.window_lost,
        client_counter_lost=fact.counter_lost,
        gateway_window_lost=derived.window_lost,
        gateway_counter_lost=derived.counter_lost,
    )
