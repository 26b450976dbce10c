"""How a client comes by a session: a handshake on one path after the other, then the grant."""

from typing import Final

from jumping_vpn.core.client_desk import SELF, ClientDesk, Turn
from jumping_vpn.core.client_events import observe_learned
from jumping_vpn.core.client_jumps import REKEY_AFTER, wire_candidate
from jumping_vpn.core.facts import HandshakeDone, MessageReceived
from jumping_vpn.core.ids import Millis, SessionId
from jumping_vpn.core.policy.limits import Policy, PolicyError
from jumping_vpn.core.ready import (
    Message,
    Outcome,
    SealRoot,
    SetLimits,
    StartHandshake,
    StopHandshake,
)
from jumping_vpn.core.session.machine import Moved
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.view import View, granted
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import ProtocolError, decode

TRY_FOR: Final = Millis(2_000)
INIT_FIRST: Final = Millis(250)
INIT_DOUBLINGS: Final = 2
DEFAULTS: Final = Policy().to_mapping()


class Courtship:
    """The client's part before there is a session."""

    def __init__(self, desk: ClientDesk) -> None:
        self._desk = desk
        self._path: int | None = None
        self._session_id: SessionId | None = None
        self._told = 0
        self._granted: tuple[View, Moved] | None = None

    def begin(self, turn: Turn) -> None:
        """Start the clock of the handshake."""
        timeout = self._desk.settings.handshake_timeout
        self._desk.timers["handshake"] = Millis(turn.now + timeout)

    def on_path(self, turn: Turn, path: int) -> None:
        """Shake hands on a path that was just opened, unless another is being tried."""
        if self._path is None:
            self._try(turn, path)

    def on_lost(self, turn: Turn, paths: set[int]) -> None:
        """Go on with another path if the one being tried is gone."""
        if self._path in paths and self._session_id is None:
            turn.bind.append(StopHandshake())
            self._try_next(turn)

    def on_timer(self, turn: Turn, what: str) -> None:
        """Do what is due: the next path, the message again, or the end."""
        match what:
            case "handshake":
                outcome = Outcome.UNREACHABLE_OR_UNKNOWN
                self._desk.finish(turn, outcome, "", reason=Reason.HANDSHAKE_TIMEOUT)
            case "try":
                turn.bind.append(StopHandshake())
                self._try_next(turn)
            case "init":
                self._introduce(turn)

    def on_done(self, turn: Turn, fact: HandshakeDone) -> None:
        """Prove the handshake with the first message under the new session's keys."""
        if self._session_id is not None:
            return
        self._path, self._session_id = fact.path, SessionId(fact.session_id)
        self._desk.timers.pop("try", None)
        self._introduce(turn)

    def on_message(self, turn: Turn, fact: MessageReceived) -> SealRoot | None:
        """Take the grant, or the refusal."""
        try:
            message = decode(fact.message)
        except ProtocolError:
            return None
        path = self._desk.paths.find(self._path)
        if message.session_id != self._session_id or path is None:
            return None
        match message.payload:
            case m.HandshakeReject() as reject:
                detail = f"{reject.reason.value}: {reject.detail}".removesuffix(": ")
                self._desk.finish(turn, Outcome.REFUSED, detail, reason=Reason.HANDSHAKE_FAIL)
            case m.HandshakeAck() as ack:
                try:
                    self._granted = granted(message, ack, path.candidate.transport, now=turn.now)
                except PolicyError as error:
                    reason = Reason.POLICY_REFUSED
                    self._desk.finish(turn, Outcome.REFUSED, str(error), reason=reason)
                    return None
                self._desk.learn_clock(message.ts_ms, now=turn.now)
                self._desk.paths.add_ids(ack.lookup_ids)
                return SealRoot()
        return None

    def conclude(self, turn: Turn, sealed: bytes) -> None:
        """Take the session over once its root can be made durable."""
        desk = self._desk
        if self._granted is None or desk.view is not None:
            return
        view, created = self._granted
        view.root = sealed
        desk.view, desk.active = view, self._path
        desk.timers.clear()
        desk.timers["rekey"] = Millis(turn.now + REKEY_AFTER)
        turn.keep_now = True
        # What was granted holds at both ends: until here the data plane kept to the defaults.
        turn.bind.append(SetLimits(number=SELF, policy=view.policy))
        observe_learned(desk, turn, view, (created,))

    def _try(self, turn: Turn, path: int) -> None:
        self._path = path
        turn.bind.append(StartHandshake(path=path))
        self._desk.timers["try"] = Millis(turn.now + TRY_FOR)

    def _try_next(self, turn: Turn) -> None:
        numbers = [each.transport.id for each in self._desk.paths.candidates]
        later = [number for number in numbers if self._path is None or number > self._path]
        self._path = None
        self._desk.timers.pop("try", None)
        if numbers:
            self._try(turn, min(later, default=numbers[0]))

    def _introduce(self, turn: Turn) -> None:
        desk, path = self._desk, self._desk.paths.find(self._path)
        if self._session_id is None or path is None:
            return
        wanted = desk.settings.requested.to_mapping()
        payload = m.HandshakeInit(
            client_version=desk.settings.version,
            candidate=wire_candidate(path.candidate.transport),
            policy={name: value for name, value in wanted.items() if value != DEFAULTS[name]},
            predecessor=desk.settings.predecessor,
        )
        envelope = desk.envelope(turn, self._session_id, payload)
        turn.send.append(Message(number=SELF, message=envelope))
        wait = INIT_FIRST << min(self._told, INIT_DOUBLINGS)
        self._told += 1
        desk.timers["init"] = Millis(turn.now + wait)
