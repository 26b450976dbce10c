"""The client's jumps: a binding is lost or another wished for, asked for, granted, adopted."""

from typing import Final

from jumping_vpn.core.chronicle import REASONS, Known
from jumping_vpn.core.client_desk import SELF, Adopted, ClientDesk, Jumped, Turn
from jumping_vpn.core.client_events import cause_of, learn_end, observe_denial, observe_size
from jumping_vpn.core.commands import OperatorJump
from jumping_vpn.core.event_data import AttemptData, RejectData
from jumping_vpn.core.events import EventType, candidate_figures
from jumping_vpn.core.facts import PathSized, ResponseOpened
from jumping_vpn.core.ids import BindingEpoch, Millis, NodeId, SessionId
from jumping_vpn.core.policy.choice import (
    SILENT_LOSS,
    Candidate,
    Decision,
    Verdict,
    choose_better,
    choose_for_loss,
    choose_ordered,
)
from jumping_vpn.core.policy.switches import count_switch
from jumping_vpn.core.pursuit import Pursuit
from jumping_vpn.core.ready import Activate, Adopt, DropBinding, Outcome, Request, Withdraw
from jumping_vpn.core.session.model import Binding, Session, Transport
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.view import View
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import ProtocolError, decode

PLANNED_WAIT: Final = Millis(5_000)
REFUSED_PAUSE: Final = Millis(200)
REKEY_AFTER: Final = Millis(60 * 60 * 1000)
"""How long a binding lives that carries little; what carries much is renewed by count."""
ORDER_HOLDS: Final = Millis(60_000)
"""How long the path that a person ordered the session off is no choice of the client's own."""
SLOW_ASKING: Final = Millis(1_000)
REPLAY_SKIP: Final = 64

OVER: Final[dict[str, Reason]] = {
    Reason.TTL_SESSION_EXPIRED: Reason.TTL_SESSION_EXPIRED,
    Reason.TTL_TRANSPORT_LOSS_EXPIRED: Reason.TTL_TRANSPORT_LOSS_EXPIRED,
    Reason.VERSION_AHEAD: Reason.OWNERSHIP_AMBIGUOUS,
    Reason.MESSAGE_MALFORMED: Reason.SECURITY_VIOLATION,
    Reason.VERSION_UNSUPPORTED: Reason.SECURITY_VIOLATION,
}
"""Refusals after which there is no session to ask for, and the reason of the move to its end."""


def lose(desk: ClientDesk, turn: Turn, cause: Reason, *, detect_ms: int = 0) -> None:
    """Give the binding up and pursue another; a jump that was under way becomes urgent."""
    view = desk.view
    if view is None or view.binding is None:
        return
    lost = view.binding.epoch
    view.unbind()
    desk.active = None
    for timer in ("reset", "moved", "rekey", "choose"):
        desk.timers.pop(timer, None)
    pursue(desk, turn, cause, lost=lost, detect_ms=detect_ms)


def on_sized(desk: ClientDesk, turn: Turn, fact: PathSized) -> None:
    """Give up a binding too narrow for the base size of packets, where a wider path answers."""
    desk.paths.resize(fact.path, size=fact.after)
    observe_size(desk, turn, fact)
    path = desk.paths.find(desk.active)
    if path is None or path.id != fact.path or not path.candidate.narrow:
        return
    others = (each for each in desk.paths.candidates if each.measured and not each.narrow)
    if any(each.loss < SILENT_LOSS for each in others):
        lose(desk, turn, Reason.PATH_MTU_FAILED)


def pursue(
    desk: ClientDesk, turn: Turn, cause: Reason, *, lost: BindingEpoch, detect_ms: int = 0
) -> None:
    """Begin to pursue a binding because there is none."""
    if desk.late_since is None:
        desk.late_since = Millis(turn.now - detect_ms)
    desk.pursuit = Pursuit(
        trigger=m.Trigger.DEATH,
        cause=cause,
        lost=lost,
        began=turn.now,
        detect_ms=detect_ms,
    )
    desk.timers["loss"] = Millis(turn.now + desk.policy.transport_loss_ttl)
    ask(desk, turn)


def wish(
    desk: ClientDesk, turn: Turn, trigger: m.Trigger, *, wanted: int | None, now: Millis
) -> None:
    """Begin to pursue another binding while the present one lives.

    A person's order takes the place of a wish that still waits for its turn.
    """
    pursuit = desk.pursuit
    waits = pursuit is not None and not pursuit.is_for_life and pursuit.attempt is None
    if pursuit is not None and not (waits and trigger is m.Trigger.OPERATOR):
        return
    if desk.view is not None and desk.view.binding is not None:
        desk.pursuit = Pursuit(
            trigger=trigger, cause=None, lost=BindingEpoch(0), began=now, wanted=wanted
        )
        ask(desk, turn)


def on_ordered(desk: ClientDesk, turn: Turn, order: OperatorJump) -> None:
    """Follow a person's order, if the transport that it names is there."""
    wanted = None if order.transport is None else desk.paths.named(order.transport)
    if order.transport is not None and wanted is None:
        observe_denial(desk, turn, Reason.NO_CANDIDATE, retry_after_ms=0)
        return
    wish(desk, turn, m.Trigger.OPERATOR, wanted=wanted, now=turn.now)


def ask(desk: ClientDesk, turn: Turn) -> None:
    """Make a new attempt of the pursuit, on the candidates that are best by now."""
    pursuit, view = desk.pursuit, desk.view
    if pursuit is None or view is None:
        return
    if pursuit.is_hopeless():
        give_up(desk, turn)
        return
    decision = _choose(desk, pursuit, now=turn.now)
    asked = _with_ids(desk, decision.chosen)
    if not asked:
        _wait_for_candidates(desk, turn, pursuit, decision)
        return
    attempt = desk.counters.next_attempt()
    candidates = tuple(
        (each.transport.id, lookup_id, _request(desk, turn, pursuit, each, attempt))
        for each, lookup_id in asked
    )
    paths = tuple(each.transport.id for each, _ in asked)
    srtt_us = max(each.srtt_us for each, _ in asked)
    pursuit.note_asked(attempt, paths, srtt_us=srtt_us, policy=desk.policy, now=turn.now)
    early = pursuit.is_for_life
    turn.send.append(
        Request(attempt=attempt, lost_epoch=pursuit.lost, candidates=candidates, early=early)
    )
    schedule(desk)
    if pursuit.is_for_life and pursuit.is_slow(desk.policy, now=turn.now):
        desk.timers["withdraw"] = Millis(turn.now + SLOW_ASKING)
    data = AttemptData(
        attempt=attempt,
        cause=cause_of(pursuit),
        chosen=tuple(desk.shown(each.transport) for each, _ in asked),
        candidates=candidate_figures(decision, origin=desk.settings.origin, now=turn.now),
    )
    desk.observe(turn, EventType.REATTACH_ATTEMPT, cause_of(pursuit), data)


def schedule(desk: ClientDesk) -> None:
    """Set the timer of the next attempt."""
    pursuit = desk.pursuit
    if pursuit is None or pursuit.again_at is None:
        desk.timers.pop("ask", None)
    else:
        desk.timers["ask"] = pursuit.again_at


def give_up(desk: ClientDesk, turn: Turn) -> None:
    """Drop the wish for another binding; the present one goes on."""
    pursuit, desk.pursuit = desk.pursuit, None
    schedule(desk)
    turn.bind.append(Withdraw())
    if pursuit is not None:
        for path in pursuit.paths:
            desk.paths.cool_down(path, until=Millis(turn.now + desk.policy.recovery_window))
        observe_denial(desk, turn, Reason.NO_CANDIDATE, retry_after_ms=0)


def wire_candidate(transport: Transport) -> m.Candidate:
    """Return a transport as messages name it."""
    return m.Candidate(
        id=transport.id,
        adapter=transport.adapter,
        interface=transport.interface,
        endpoint=transport.endpoint,
        hops=transport.hops,
    )


def consider_better(desk: ClientDesk, turn: Turn) -> None:
    """Decide whether another candidate has earned a switch."""
    view, path = desk.view, desk.paths.find(desk.active)
    if view is None or path is None or desk.pursuit is not None:
        return
    decision = choose_better(
        path.candidate,
        desk.paths.candidates,
        desk.policy,
        desk.contender,
        desk.jumps,
        now=turn.now,
    )
    desk.contender = decision.contender
    desk.timers.pop("choose", None)
    if decision.verdict is Verdict.SWITCH:
        wanted = decision.chosen[0].transport.id
        wish(desk, turn, m.Trigger.QUALITY, wanted=wanted, now=turn.now)
    elif decision.wake_at is not None:
        desk.timers["choose"] = decision.wake_at
        if decision.reason is not Reason.NOT_BETTER and decision.contender != desk.denied:
            desk.denied = decision.contender
            wait = decision.wake_at - turn.now
            observe_denial(desk, turn, decision.reason, retry_after_ms=wait, decision=decision)


def on_response(desk: ClientDesk, turn: Turn, fact: ResponseOpened) -> Adopt | None:
    """Take the answer to an attempt: adopt what it grants, or follow the refusal."""
    pursuit, view = desk.pursuit, desk.view
    if pursuit is None or view is None or fact.attempt != pursuit.attempt:
        return None
    message = _read(fact, view.session)
    if message is None:
        return None
    desk.learn_clock(message.ts_ms, now=turn.now)
    match message.payload:
        case m.ReattachAck() as ack:
            if not _is_onward(message, view):
                return None
            return Adopt(
                token=fact.token,
                epoch=BindingEpoch(message.binding_epoch),
                owner=NodeId(ack.owner),
                window_lost=ack.window_lost,
                plan=Adopted(
                    token=fact.token, path=fact.path, message=message, ack=ack, pursuit=pursuit
                ),
            )
        case m.ReattachReject() as reject:
            if reject.reason in OVER:
                learn_end(desk, turn, message, OVER[reject.reason])
            _follow_refusal(desk, turn, pursuit, reject, path=fact.path)
    return None


def adopt(desk: ClientDesk, turn: Turn, plan: Adopted, sealed: bytes) -> None:
    """Take the granted binding over: the root is durable before anything is sent under it."""
    view, path = desk.view, desk.paths.find(plan.path)
    if view is None or path is None:
        return
    message, ack = plan.message, plan.ack
    left = None if view.session.binding is None else view.session.binding.transport
    binding = Binding(
        epoch=BindingEpoch(message.binding_epoch),
        transport=path.candidate.transport,
        confirmed=False,
        since=turn.now,
    )
    known = Known(
        owner=NodeId(ack.owner),
        transport=desk.paths.transport,
        granted=binding,
        version=message.state_version,
    )
    learned = view.bind(binding, ack.moves, known, now=turn.now)
    view.root = sealed
    if plan.pursuit.trigger is m.Trigger.OPERATOR and desk.active is not None:
        desk.paths.cool_down(desk.active, until=Millis(turn.now + ORDER_HOLDS))
    desk.paths.add_ids(ack.lookup_ids)
    desk.jumps = count_switch(desk.jumps, supersedes=False, now=turn.now)
    desk.pursuit = None
    desk.active = plan.path
    desk.unwell = False
    desk.binding_loss = 0.0
    desk.late_since = None
    desk.contender = None
    for timer in ("ask", "withdraw", "loss"):
        desk.timers.pop(timer, None)
    desk.timers["rekey"] = Millis(turn.now + REKEY_AFTER)
    turn.keep_now = True
    turn.bind.append(Activate(token=plan.token))
    desk.jumped = Jumped(plan=plan, left=left, learned=learned)


def _read(fact: ResponseOpened, session: Session) -> m.Envelope | None:
    try:
        message = decode(fact.message)
    except ProtocolError:
        return None
    return message if message.session_id == session.session_id else None


def _is_onward(message: m.Envelope, view: View) -> bool:
    """Say whether a grant leads on: neither version nor epoch ever goes back."""
    return message.binding_epoch > view.epoch and message.state_version > view.session.version


def _choose(desk: ClientDesk, pursuit: Pursuit, *, now: Millis) -> Decision:
    candidates, policy = desk.paths.candidates, desk.policy
    if pursuit.is_for_life:
        return choose_for_loss(candidates, policy, now=now)
    if pursuit.wanted is None:
        candidates = tuple(each for each in candidates if each.transport.id != desk.active)
    jumps = desk.jumps if pursuit.tries == 0 else ()
    return choose_ordered(candidates, policy, jumps, wanted=pursuit.wanted, now=now)


def _with_ids(
    desk: ClientDesk, chosen: tuple[Candidate, ...]
) -> tuple[tuple[Candidate, bytes], ...]:
    found = []
    for each in chosen:
        path = desk.paths.find(each.transport.id)
        lookup_id = None if path is None else desk.paths.lookup_id(path, reuse=True)
        if lookup_id is not None:
            found.append((each, lookup_id))
    return tuple(found)


def _request(
    desk: ClientDesk, turn: Turn, pursuit: Pursuit, candidate: Candidate, attempt: int
) -> m.Envelope:
    payload = m.ReattachRequest(
        trigger=pursuit.trigger,
        cause=None if pursuit.cause is None else pursuit.cause.value,
        candidate=wire_candidate(candidate.transport),
        unused_lookup_ids=len(desk.paths.unused_ids),
        policy_version=0 if desk.view is None else desk.view.policy_version,
        detect_ms=pursuit.detect_ms,
    )
    session_id = SessionId(b"") if desk.view is None else desk.view.session.session_id
    return desk.envelope(turn, session_id, payload, sequence=attempt)


def _wait_for_candidates(
    desk: ClientDesk, turn: Turn, pursuit: Pursuit, decision: Decision
) -> None:
    """Wait: until a candidate appears where there must be one, else as long as the limit says.

    What a person orders happens now or not at all.
    """
    wait = 0 if decision.wake_at is None else decision.wake_at - turn.now
    if pursuit.is_for_life:
        pursuit.again_at = None
        if pursuit.lost and not pursuit.dropped and desk.view is not None:
            pursuit.dropped = True
            payload = m.TransportDead(epoch=pursuit.lost, cause=cause_of(pursuit).value)
            words = desk.envelope(turn, desk.view.session.session_id, payload)
            turn.bind.append(DropBinding(number=SELF, epoch=pursuit.lost, last_words=words))
    elif pursuit.trigger is not m.Trigger.OPERATOR and 0 < wait <= PLANNED_WAIT:
        pursuit.wait(until=Millis(turn.now + wait))
    else:
        desk.pursuit = None
    schedule(desk)
    observe_denial(desk, turn, decision.reason, retry_after_ms=wait, decision=decision)


def _follow_refusal(
    desk: ClientDesk, turn: Turn, pursuit: Pursuit, reject: m.ReattachReject, *, path: int
) -> None:
    reason = REASONS.get(reject.reason, Reason.MESSAGE_UNKNOWN)
    data = RejectData(
        attempt=pursuit.attempt or 0,
        check=0,
        source=None,
        answered=True,
        retry_after_ms=reject.retry_after_ms,
    )
    desk.observe(turn, EventType.REATTACH_REJECT, reason, data)
    if reason in OVER:
        desk.finish(turn, Outcome.TERMINATED, reason.value, reason=reason)
        return
    match reason:
        case Reason.RACE_LOST:
            return
        case Reason.REPLAY_DETECTED:
            desk.counters.attempt += REPLAY_SKIP
            pursuit.hurry(now=turn.now)
        case Reason.FRESHNESS_INVALID | Reason.OWNERSHIP_CONFLICT:
            pursuit.hurry(now=turn.now)
        case _ if pursuit.trigger is m.Trigger.OPERATOR:
            _refuse_order(desk, turn, reason, retry_after_ms=reject.retry_after_ms)
            return
        case Reason.TRANSPORT_NOT_ALLOWED:
            desk.paths.mark_silent(path, now=turn.now)
            pursuit.hurry(now=turn.now)
        case Reason.SWITCH_RATE_LIMITED:
            pursuit.hold(until=Millis(turn.now + max(reject.retry_after_ms, REFUSED_PAUSE)))
        case _:
            pursuit.wait(until=Millis(turn.now + max(reject.retry_after_ms, REFUSED_PAUSE)))
    if not pursuit.is_for_life and reject.retry_after_ms > PLANNED_WAIT:
        give_up(desk, turn)
        return
    schedule(desk)


def _refuse_order(desk: ClientDesk, turn: Turn, reason: Reason, *, retry_after_ms: int) -> None:
    """Tell a person that the authority denies the jump; it is not asked for again."""
    desk.pursuit = None
    schedule(desk)
    turn.bind.append(Withdraw())
    observe_denial(desk, turn, reason, retry_after_ms=retry_after_ms)
