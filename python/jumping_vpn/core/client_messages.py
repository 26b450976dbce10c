"""The client's answer to control messages: what the authority says is taken over, nothing twice."""

from jumping_vpn.core.chronicle import REASONS
from jumping_vpn.core.client_desk import SELF, ClientDesk, Turn
from jumping_vpn.core.client_events import learn_end, learn_moves
from jumping_vpn.core.client_jumps import lose
from jumping_vpn.core.event_data import SecurityData
from jumping_vpn.core.events import EventType
from jumping_vpn.core.facts import MessageReceived
from jumping_vpn.core.policy.limits import Policy, PolicyError
from jumping_vpn.core.ready import Outcome, SetLimits
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.view import View
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import Malformation, ProtocolError, decode


def on_message(desk: ClientDesk, turn: Turn, fact: MessageReceived) -> None:
    """Act on a control message; what goes back in sequence is refused and logged."""
    view = desk.view
    if view is None:
        return
    try:
        message = decode(fact.message)
    except ProtocolError as error:
        _on_broken(desk, turn, error)
        return
    if not view.is_newer(message):
        _refuse(desk, turn, Reason.MESSAGE_OUT_OF_ORDER, m.TYPE_NAMES[type(message.payload)])
        return
    view.sequence_seen = message.sequence
    desk.learn_clock(message.ts_ms, now=turn.now)
    turn.keep_lazily = True
    _act(desk, turn, view, message)


def _act(desk: ClientDesk, turn: Turn, view: View, message: m.Envelope) -> None:
    match message.payload:
        case m.StateNotice() as payload:
            learn_moves(desk, turn, payload.moves)
            desk.tell(turn, m.StateAck(version=view.session.version))
        case m.TransportDead() as payload:
            binding = view.binding
            if binding is not None and binding.epoch == payload.epoch:
                lose(desk, turn, Reason.PEER_REPORTED)
        case m.PathReport() as payload:
            desk.paths.add_ids(payload.lookup_ids)
        case m.PolicyChanged() as payload:
            _change_policy(desk, turn, view, payload)
        case m.EndpointsChanged() as payload:
            view.endpoints = payload.endpoints
        case m.Terminate() | m.TerminateAck() as payload:
            reason = REASONS.get(payload.reason, Reason.OPERATOR_REQUEST)
            learn_end(desk, turn, message, reason)
            desk.finish(turn, Outcome.TERMINATED, reason.value, reason=reason)
        case m.HandshakeAck() | m.MessageReject():
            pass
        case _:
            what = m.TYPE_NAMES[type(message.payload)]
            _refuse(desk, turn, Reason.MESSAGE_UNKNOWN, what)


def _change_policy(desk: ClientDesk, turn: Turn, view: View, payload: m.PolicyChanged) -> None:
    try:
        policy = Policy.from_mapping(payload.policy)
    except PolicyError as error:
        _refuse(desk, turn, Reason.POLICY_REFUSED, str(error)[:100])
        return
    if bytes.fromhex(policy.hash()) != payload.policy_hash:
        _refuse(desk, turn, Reason.POLICY_REFUSED, "POLICY_CHANGED")
        return
    view.policy, view.policy_version = policy, payload.policy_version
    turn.bind.append(SetLimits(number=SELF, policy=policy))
    turn.keep_now = True


def _on_broken(desk: ClientDesk, turn: Turn, error: ProtocolError) -> None:
    if error.what in {Malformation.UNKNOWN_TYPE, Malformation.UNKNOWN_VERSION}:
        desk.tell(
            turn,
            m.MessageReject(rejected_type=error.message_type, rejected_sequence=error.sequence),
        )
    else:
        _refuse(desk, turn, Reason.MESSAGE_MALFORMED, error.what.value)


def _refuse(desk: ClientDesk, turn: Turn, reason: Reason, what: str) -> None:
    data = SecurityData(what=what, source=None, count=1)
    desk.observe(turn, EventType.SECURITY_EVENT, reason, data)
