"""How a client's session ends on its own side: by order, or because nobody answers any more."""

from typing import Final

from jumping_vpn.core.client_desk import ClientDesk, Turn
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.ready import Outcome
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire import messages as m

GOING_DOWN: Final = Millis(250)
GOING_DOWN_TRIES: Final = 6


def go_down(desk: ClientDesk, turn: Turn) -> None:
    """End the session: tell the gateway, if there is a way to."""
    if desk.view is None or desk.view.binding is None:
        _leave(desk, turn)
        return
    desk.pursuit = None
    desk.timers.clear()
    say_goodbye(desk, turn)


def say_goodbye(desk: ClientDesk, turn: Turn) -> None:
    """Tell the gateway once more, or leave without its answer."""
    if desk.goodbyes >= GOING_DOWN_TRIES:
        _leave(desk, turn)
        return
    desk.goodbyes += 1
    desk.timers["goodbye"] = Millis(turn.now + GOING_DOWN)
    desk.tell(turn, m.Terminate(reason=Reason.CLIENT_REQUEST.value))


def expire(desk: ClientDesk, turn: Turn) -> None:
    """End the session that was without a transport for as long as policy allows."""
    outcome = Outcome.UNANSWERED if is_unanswered(desk) else Outcome.TERMINATED
    over = Reason.TTL_TRANSPORT_LOSS_EXPIRED
    desk.finish(turn, outcome, over.value, reason=over)


def is_unanswered(desk: ClientDesk) -> bool:
    """Say whether nothing has answered a session that was continued from its state file.

    A session that this process made was granted by a message of the gateway.
    """
    if desk.view is None or desk.view.binding is not None or desk.has_heard:
        return False
    candidates = desk.paths.candidates
    return bool(candidates) and not any(each.measured for each in candidates)


def _leave(desk: ClientDesk, turn: Turn) -> None:
    over = Reason.CLIENT_REQUEST
    desk.finish(turn, Outcome.TERMINATED, over.value, reason=over)
