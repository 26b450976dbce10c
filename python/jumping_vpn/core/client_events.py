"""The client's own events: what it wished, heard and saw. Observations, told from its view."""

from dataclasses import replace
from typing import Final

from msgspec import structs

from jumping_vpn.core.client_desk import ClientDesk, Jumped, Turn, is_unwell
from jumping_vpn.core.event_data import (
    ChangeData,
    DeniedData,
    EndData,
    Handover,
    MoveData,
    SuccessData,
    SwitchData,
)
from jumping_vpn.core.events import EventType
from jumping_vpn.core.policy.choice import Decision
from jumping_vpn.core.pursuit import Pursuit
from jumping_vpn.core.reattach import JUMP_REASONS
from jumping_vpn.core.redaction import Shown
from jumping_vpn.core.session.model import Session, State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import R_JUMP, TABLE, TABLE_DIGEST
from jumping_vpn.core.view import Learned
from jumping_vpn.core.wire import messages as m

REASONS: Final = {each.value: each for each in Reason}


def cause_of(pursuit: Pursuit) -> Reason:
    """Return the reason of a wish for a binding."""
    return JUMP_REASONS[pursuit.trigger] if pursuit.cause is None else pursuit.cause


def observe_jump(desk: ClientDesk, turn: Turn, *, given_up: int, in_doubt: int) -> None:
    """Write the moves that an acknowledgement told, and the jump itself with what it cost."""
    jumped, desk.jumped = desk.jumped, None
    view, transport = desk.view, desk.transport
    if jumped is None or view is None or view.session.binding is None or transport is None:
        return
    for learned in jumped.learned[:-1]:
        _observe_move(desk, turn, learned)
    for move, before, _ in jumped.learned[-1:]:
        handover = _handover(desk, jumped, given_up=given_up, in_doubt=in_doubt)
        around = (move, replace(before, epoch=jumped.before.epoch), view.session)
        _observe_move(desk, turn, around, handover=handover)
    data = SuccessData(
        attempt=jumped.plan.pursuit.attempt or 0,
        transport=desk.shown(transport),
        waited_ms=max(0, turn.now - view.session.binding.since),
    )
    desk.observe(turn, EventType.REATTACH_SUCCESS, Reason.REATTACH_SUCCESS, data)


def observe_unknown(desk: ClientDesk, turn: Turn) -> None:
    """Write that a person named a transport that there is not."""
    observe_denial(desk, turn, Reason.NO_CANDIDATE, retry_after_ms=0)


def learn_moves(desk: ClientDesk, turn: Turn, moves: tuple[m.SeenMove, ...]) -> None:
    """Take over moves of the authority that kept the binding, each with its event."""
    if desk.view is None:
        return
    for learned in desk.view.learn(moves):
        _observe_move(desk, turn, learned)
    desk.unwell = is_unwell(desk.view.session.state)


def observe_denial(
    desk: ClientDesk,
    turn: Turn,
    reason: Reason,
    *,
    retry_after_ms: int,
    decision: Decision | None = None,
) -> None:
    """Write that a switch was wanted and may not be, with the figures of the choice."""
    considered = () if decision is None else decision.considered
    data = DeniedData(
        wanted=None,
        switches_in_window=len(desk.jumps),
        retry_after_ms=retry_after_ms,
        candidates=desk.figures(considered, now=turn.now),
    )
    desk.observe(turn, EventType.SWITCH_DENIED, reason, data)


def _observe_move(
    desk: ClientDesk, turn: Turn, learned: Learned, *, handover: Handover | None = None
) -> None:
    move, before, after = learned
    reason = REASONS.get(move.reason, Reason.MESSAGE_UNKNOWN)
    data = MoveData(
        input=_input_of(move),
        state_before=before.state,
        state_after=after.state,
        epoch_before=before.epoch,
        transport_before=_shown(desk, before),
        transport_after=_shown(desk, after),
        owner=after.owner,
        ownership_epoch=after.ownership_epoch,
        table=TABLE_DIGEST,
    )
    common = structs.asdict(data)
    if reason in R_JUMP:
        switch = SwitchData(**common, handover=handover)
        desk.observe(turn, EventType.TRANSPORT_SWITCH, reason, switch, session=after)
    elif after.state is State.TERMINATED:
        end = EndData(**common, lived_ms=0)
        desk.observe(turn, EventType.SESSION_TERMINATED, reason, end, session=after)
    else:
        change = ChangeData(**common, figures=None)
        desk.observe(turn, EventType.STATE_CHANGE, reason, change, session=after)


def _handover(desk: ClientDesk, jumped: Jumped, *, given_up: int, in_doubt: int) -> Handover:
    plan, before = jumped.plan, jumped.before
    pursuit, ack = plan.pursuit, plan.ack
    path = desk.paths.find(plan.path)
    return Handover(
        attempt=pursuit.attempt or 0,
        cause=cause_of(pursuit),
        left=_shown(desk, before),
        srtt_us=0 if path is None else path.candidate.srtt_us,
        silent_us=pursuit.detect_ms * 1000,
        given_up_up=given_up,
        given_up_down=ack.given_up,
        in_doubt_up=in_doubt,
        in_doubt_down=ack.in_doubt,
        gateway_window_lost=ack.window_lost,
    )


def _shown(desk: ClientDesk, session: Session) -> Shown | None:
    return None if session.binding is None else desk.shown(session.binding.transport)


def _input_of(move: m.SeenMove) -> str:
    """Return the name of the input that the table gives for a move, empty if it knows none."""
    for row in TABLE:
        names = {shape.value.partition(" ")[0] for shape in row.before}
        if move.before in names and move.after == row.after and move.reason in row.reasons:
            return row.on.__name__
    return ""
