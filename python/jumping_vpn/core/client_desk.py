"""What every part of the client's role shares, and how one turn of it is collected and ended."""

from dataclasses import dataclass, field
from typing import Final

from jumping_vpn.core.chronicle import Known, Learned
from jumping_vpn.core.course import Moment
from jumping_vpn.core.event_data import CandidateData, Data, NodeData
from jumping_vpn.core.events import (
    Event,
    EventType,
    Origin,
    Stamp,
    Subject,
    make_event,
    policy_mark,
)
from jumping_vpn.core.ids import BindingEpoch, Millis, NodeId, SessionId, SessionNumber
from jumping_vpn.core.paths import CLOSE, STANDBY, Paths
from jumping_vpn.core.policy.choice import Candidate, Contender
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.pursuit import Pursuit
from jumping_vpn.core.ready import (
    Bind,
    Erase,
    Finish,
    Keep,
    Message,
    Outcome,
    Ready,
    Send,
    Withdraw,
)
from jumping_vpn.core.redaction import Shown, show_transport
from jumping_vpn.core.session.model import Session, State, Transport
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.view import Counters, View
from jumping_vpn.core.wire import messages as m

SELF: Final = SessionNumber(0)
IDS_PAUSE: Final = Millis(2_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What the configuration says; `requested` are the policy's fields that the client asks for."""

    name: str
    version: str
    public_key: bytes
    origin: Origin
    requested: Policy
    handshake_timeout: Millis
    predecessor: SessionId | None = None
    keep_state: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """The plan of a jump between deriving its root and activating it."""

    token: int
    path: int
    message: m.Envelope
    ack: m.ReattachAck
    pursuit: Pursuit


@dataclass(frozen=True, slots=True, kw_only=True)
class Jumped:
    """An adopted jump until its events are written: what was learned, and from where it led."""

    plan: Adopted
    left: Transport | None
    learned: tuple[Learned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """A jump whose confirmation the gateway has not acknowledged yet."""

    epoch: BindingEpoch
    attempt: int
    since: Millis


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one input leads to, while it is being decided."""

    moment: Moment
    stamp: Stamp
    bind: list[Bind] = field(default_factory=list)
    send: list[Send] = field(default_factory=list)
    observed: list[Event] = field(default_factory=list)
    keep_now: bool = False
    keep_lazily: bool = False

    @property
    def now(self) -> Millis:
        """Return the reading of the monotonic clock."""
        return self.moment.now


class ClientDesk:
    """The client's state. `timers` holds when something is due, by what it is."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.paths = Paths()
        self.counters = Counters()
        self.view: View | None = None
        self.pursuit: Pursuit | None = None
        self.active: int | None = None
        self.jumps: tuple[Millis, ...] = ()
        self.contender: Contender | None = None
        self.denied: Contender | None = None
        self.unwell = False
        self.binding_loss = 0.0
        self.late_since: Millis | None = None
        self.ended = False
        self.goodbyes = 0
        self.jumped: Jumped | None = None
        self.unconfirmed: Unconfirmed | None = None
        self.timers: dict[str, Millis] = {}
        self._clock_ahead: int | None = None

    @property
    def policy(self) -> Policy:
        """Return the session's policy, before there is one the requested."""
        return self.settings.requested if self.view is None else self.view.policy

    @property
    def transport(self) -> Transport | None:
        """Return the transport of the active path."""
        path = self.paths.find(self.active)
        return None if path is None else path.candidate.transport

    @property
    def has_heard(self) -> bool:
        """Return whether the gateway has told this process anything that was authentic."""
        return self._clock_ahead is not None

    def turn(self, now: Millis, wall_ms: int, entropy: bytes) -> Turn:
        """Begin a turn."""
        moment = Moment(now=now, wall_ms=wall_ms, entropy=entropy)
        return Turn(moment=moment, stamp=Stamp(wall_ms=wall_ms, entropy=entropy))

    def end(self, turn: Turn) -> Ready:
        """End a turn: reserve what numbers it used, set the pace of probing, say when to wake."""
        if not self.ended:
            turn.bind += self.paths.probing(active=self.active, every=self._pace())
            self._ask_for_ids(turn)
        return Ready(
            save=self._keep(turn),
            bind=tuple(turn.bind),
            send=tuple(turn.send),
            observe=tuple(turn.observed),
            wake_at=min(self.timers.values(), default=None),
        )

    def learn_clock(self, ts_ms: int, *, now: Millis) -> None:
        """Take the gateway's clock from an authentic message."""
        self._clock_ahead = ts_ms - now

    def gateway_ms(self, turn: Turn) -> int:
        """Return the gateway's time: that of its last message and what passed since."""
        if self._clock_ahead is None:
            return turn.moment.wall_ms
        return turn.now + self._clock_ahead

    def envelope(
        self,
        turn: Turn,
        session_id: SessionId,
        payload: m.Payload,
        *,
        sequence: int | None = None,
    ) -> m.Envelope:
        """Return a message; without `sequence` it gets the next one."""
        session = None if self.view is None else self.view.session
        return m.Envelope(
            session_id=session_id,
            state_version=0 if session is None else session.version,
            binding_epoch=0 if self.view is None else self.view.epoch,
            ts_ms=self.gateway_ms(turn),
            sequence=self.counters.next_sequence() if sequence is None else sequence,
            payload=payload,
        )

    def tell(self, turn: Turn, payload: m.Payload) -> None:
        """Send a control message under the binding, if there is one."""
        if self.view is not None and self.view.binding is not None:
            envelope = self.envelope(turn, self.view.session.session_id, payload)
            turn.send.append(Message(number=SELF, message=envelope))

    def observe(
        self,
        turn: Turn,
        event_type: EventType,
        reason: Reason,
        data: Data,
        *,
        session: Session | None = None,
    ) -> None:
        """Write an event about the session as it is seen here."""
        view = self.view
        about = session or (None if view is None else view.session)
        mark = None if view is None else policy_mark(view.policy_version, view.policy)
        turn.observed.append(
            make_event(
                event_type,
                reason,
                data,
                origin=self.settings.origin,
                stamp=turn.stamp,
                session=about,
                policy=mark,
            )
        )
        turn.stamp = turn.stamp.next()

    def observe_candidate(self, turn: Turn, candidate: Candidate, reason: Reason) -> None:
        """Write that a candidate came or went."""
        up = reason in {Reason.CANDIDATE_FOUND, Reason.CANDIDATE_ANSWERED}
        data = CandidateData(
            transport=self.shown(candidate.transport),
            srtt_us=candidate.srtt_us,
            loss=candidate.loss,
        )
        event_type = EventType.CANDIDATE_UP if up else EventType.CANDIDATE_DOWN
        self.observe(turn, event_type, reason, data)

    def observe_process(self, turn: Turn, event_type: EventType, reason: Reason) -> None:
        """Write that this process begins or ends, with the session that it has."""
        data = NodeData(
            incarnation=0,
            software=f"jumping-vpn {self.settings.version}",
            sessions=0 if self.view is None else 1,
        )
        self.observe(turn, event_type, reason, data)

    def subject(self, turn: Turn, view: View) -> Subject:
        """Return what events tell about the session besides its moves, on this side's clock."""
        created_ms = view.session_ends_ms - view.policy.session_ttl
        return Subject(
            policy=policy_mark(view.policy_version, view.policy),
            client_name=self.settings.name,
            client_public=self.settings.public_key,
            addresses=view.addresses,
            predecessor=self.settings.predecessor,
            created_wall_ms=turn.moment.wall_ms - (self.gateway_ms(turn) - created_ms),
        )

    def known(self, *, owner: NodeId) -> Known:
        """Return what the moves that a message tells leave open."""
        return Known(owner=owner, transport=self.paths.transport)

    def shown(self, transport: Transport) -> Shown:
        """Return a transport as events may carry it."""
        return show_transport(transport, reveal=self.settings.origin.reveal_addresses)

    def finish(
        self, turn: Turn, outcome: Outcome, detail: str, *, reason: Reason = Reason.NODE_STOP
    ) -> None:
        """End the run for a reason; secrets and the state file go with it."""
        self.observe_process(turn, EventType.NODE_STOPPED, reason)
        self.ended = True
        self.timers.clear()
        self.pursuit = None
        turn.bind += [Withdraw(), Erase(), Finish(outcome=outcome, detail=detail)]
        turn.keep_now = True
        self.view = None

    def _ask_for_ids(self, turn: Turn) -> None:
        """Ask for lookup ids where a path has none, now and then."""
        bound = self.view is not None and self.view.binding is not None
        if bound and self.paths.is_starved and "ids" not in self.timers:
            self.timers["ids"] = Millis(turn.now + IDS_PAUSE)
            self.tell(turn, m.PathReport(unused_lookup_ids=len(self.paths.unused_ids)))

    def note_loss(self, loss: float) -> None:
        """Take over the loss of the binding; within its bound it is no reason to leave a path.

        Few probes say little about a rate, and the binding's own count is told only when it
        crosses its bound: compared below it, chance would move the session.
        """
        self.binding_loss = loss if loss > self.policy.loss_threshold else 0.0

    def _pace(self) -> Millis:
        if self.view is None:
            return Millis(0)
        return CLOSE if self.unwell or self.pursuit is not None else STANDBY

    def _keep(self, turn: Turn) -> Keep | None:
        if not self.settings.keep_state:
            return None
        if self.ended:
            return Keep(state=None) if turn.keep_now else None
        if self.view is None or not self.view.root:
            return None
        if self.counters.is_short(transport=self.paths.last_id):
            self.counters.reserve(transport=self.paths.last_id)
            turn.keep_now = True
        if not turn.keep_now and not turn.keep_lazily:
            return None
        state = self.view.to_state(self.counters, self.paths.unused_ids)
        return Keep(state=state, lazy=not turn.keep_now)


def is_unwell(state: State) -> bool:
    """Say whether a state calls for a closer watch on the standbys."""
    return state in {State.VOLATILE, State.DEGRADED}
