"""The client's own events: what it wished, heard and saw, and the moves that it was told."""

from jumping_vpn.core.chronicle import Learned, Missed
from jumping_vpn.core.client_desk import ClientDesk, Jumped, Turn, Unconfirmed, is_unwell
from jumping_vpn.core.event_data import (
    DeniedData,
    DroppedData,
    Handover,
    PacketSizeData,
    SegmentationData,
    SuccessData,
)
from jumping_vpn.core.events import EventType, candidate_figures, event_of_move
from jumping_vpn.core.facts import PathSized
from jumping_vpn.core.policy.choice import Decision
from jumping_vpn.core.pursuit import Pursuit
from jumping_vpn.core.reattach import JUMP_REASONS
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.view import View
from jumping_vpn.core.wire import messages as m


def cause_of(pursuit: Pursuit) -> Reason:
    """Return the reason of a wish for a binding."""
    return JUMP_REASONS[pursuit.trigger] if pursuit.cause is None else pursuit.cause


def observe_jump(desk: ClientDesk, turn: Turn, *, given_up: int, in_doubt: int) -> None:
    """Write the moves that an acknowledgement told; the newest is the jump, with what it cost."""
    jumped, desk.jumped = desk.jumped, None
    view = desk.view
    if jumped is None or view is None or view.binding is None:
        return
    handover = _handover(desk, jumped, given_up=given_up, in_doubt=in_doubt)
    observe_learned(desk, turn, view, jumped.learned, handover=handover)
    desk.unconfirmed = Unconfirmed(
        epoch=view.binding.epoch, attempt=handover.attempt, since=view.binding.since
    )


def observe_confirmation(desk: ClientDesk, turn: Turn) -> None:
    """Write that the newest jump's binding is confirmed, once."""
    unconfirmed, desk.unconfirmed = desk.unconfirmed, None
    transport = desk.transport
    if unconfirmed is None or transport is None:
        return
    data = SuccessData(
        attempt=unconfirmed.attempt,
        transport=desk.shown(transport),
        waited_ms=max(0, turn.now - unconfirmed.since),
    )
    desk.observe(turn, EventType.REATTACH_SUCCESS, Reason.REATTACH_SUCCESS, data)


def observe_size(desk: ClientDesk, turn: Turn, fact: PathSized) -> None:
    """Write that packets on a path are larger or smaller from now on."""
    transport = desk.paths.transport(fact.path)
    if transport is None:
        return
    data = PacketSizeData(
        transport=desk.shown(transport), size_before=fact.before, size_after=fact.after
    )
    reason = Reason.PATH_MTU_FAILED if fact.hole else Reason.PACKET_SIZE_FOUND
    desk.observe(turn, EventType.PACKET_SIZE_CHANGED, reason, data)


def observe_trains(desk: ClientDesk, turn: Turn, *, refused: bool) -> None:
    """Write that segmentation does not work on the way of the binding."""
    if desk.transport is None:
        return
    data = SegmentationData(transport=desk.shown(desk.transport))
    reason = Reason.TRAINS_REFUSED if refused else Reason.TRAINS_VANISHED
    desk.observe(turn, EventType.SEGMENTATION_GIVEN_UP, reason, data)


def learn_moves(desk: ClientDesk, turn: Turn, moves: tuple[m.SeenMove, ...]) -> None:
    """Take over moves of the authority, each with its event."""
    view = desk.view
    if view is None:
        return
    learned = view.learn(moves, desk.known(owner=view.session.owner), now=turn.now)
    observe_learned(desk, turn, view, learned)
    desk.unwell = is_unwell(view.session.state)
    turn.keep_now = turn.keep_now or bool(learned)


def learn_end(desk: ClientDesk, turn: Turn, message: m.Envelope, reason: str) -> None:
    """Take over the authority's word that the session is over, if it made a move of it."""
    session = None if desk.view is None else desk.view.session
    if session is not None and message.state_version > session.version:
        version, state = message.state_version, session.state
        learn_moves(
            desk, turn, (m.SeenMove(version, state, State.TERMINATED, reason, message.ts_ms),)
        )


def observe_learned(
    desk: ClientDesk,
    turn: Turn,
    view: View,
    learned: tuple[Learned, ...],
    *,
    handover: Handover | None = None,
) -> None:
    """Write what the authority told; the hand-over belongs to the newest move."""
    subject = desk.subject(turn, view)
    for each in learned:
        if isinstance(each, Missed):
            count = max(0, each.last - each.first + 1)
            gap = DroppedData(what="moves", first=each.first, last=each.last, count=count)
            desk.observe(turn, EventType.EVENTS_DROPPED, Reason.MOVES_UNTOLD, gap)
            continue
        newest = each is learned[-1]
        event = event_of_move(
            each,
            subject,
            origin=desk.settings.origin,
            stamp=turn.stamp,
            detail=handover if newest else None,
        )
        turn.observed.append(event)
        turn.stamp = turn.stamp.next()


def observe_denial(
    desk: ClientDesk,
    turn: Turn,
    reason: Reason,
    *,
    retry_after_ms: int,
    decision: Decision | None = None,
) -> None:
    """Write that a switch was wanted and may not be, with the figures of the choice."""
    data = DeniedData(
        wanted=None,
        switches_in_window=len(desk.jumps),
        retry_after_ms=retry_after_ms,
        candidates=()
        if decision is None
        else candidate_figures(decision, origin=desk.settings.origin, now=turn.now),
    )
    desk.observe(turn, EventType.SWITCH_DENIED, reason, data)


def _handover(desk: ClientDesk, jumped: Jumped, *, given_up: int, in_doubt: int) -> Handover:
    plan = jumped.plan
    pursuit, ack = plan.pursuit, plan.ack
    path = desk.paths.find(plan.path)
    return Handover(
        attempt=pursuit.attempt or 0,
        cause=cause_of(pursuit),
        left=None if jumped.left is None else desk.shown(jumped.left),
        srtt_us=0 if path is None else path.candidate.srtt_us,
        silent_us=pursuit.detect_ms * 1000,
        given_up_up=given_up,
        given_up_down=ack.given_up,
        in_doubt_up=in_doubt,
        in_doubt_down=ack.in_doubt,
        gateway_window_lost=ack.window_lost,
    )
