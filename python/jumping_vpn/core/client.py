"""The client's role: facts, discovery and time in; what to do next out. No I/O."""

from dataclasses import dataclass
from typing import Final

from jumping_vpn.core import client_events as events
from jumping_vpn.core import client_farewell as farewell
from jumping_vpn.core import client_jumps as jumps
from jumping_vpn.core import facts as f
from jumping_vpn.core.client_desk import Adopted, ClientDesk, ClientSettings, Turn
from jumping_vpn.core.client_messages import on_message
from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.commands import (
    CandidateAppeared,
    CandidateGone,
    Discovery,
    GoDown,
    OperatorJump,
    Stop,
)
from jumping_vpn.core.courtship import Courtship
from jumping_vpn.core.events import EventType
from jumping_vpn.core.facts import Fact
from jumping_vpn.core.ids import BindingEpoch, Millis
from jumping_vpn.core.policy.choice import Candidate
from jumping_vpn.core.ready import (
    Adopt,
    Derive,
    Derived,
    OpenTunnel,
    Outcome,
    ProbePath,
    Ready,
    Restore,
    SealRoot,
    Withdraw,
)
from jumping_vpn.core.session.model import State, Transport
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.view import View, restored
from jumping_vpn.core.wire import messages as m

__all__ = ["Activated", "ClientCore", "ClientSettings"]

REKEY_RETRY: Final = Millis(60_000)
REBINDING_MEMORY: Final = Millis(1_000)
RESET_PATIENCE: Final = Millis(200)
RESET_PROBE_US: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Activated:
    """What `activate` returned: the uplink packets sent again, given up, and in doubt."""

    resent: int
    given_up: int
    in_doubt: int


class ClientCore:
    """One per run. Give it every input in order; perform each `Ready` before the next input.

    `entropy` is at least 8 fresh random bytes for the ids of events.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._desk = ClientDesk(settings)
        self._courtship = Courtship(self._desk)

    @property
    def view(self) -> View | None:
        """What the client knows of its session, None before and after it has one."""
        return self._desk.view

    @property
    def active(self) -> int | None:
        """The path that carries the session."""
        return self._desk.active

    @property
    def transport(self) -> Transport | None:
        """The transport of that path."""
        return self._desk.transport

    @property
    def standing(self) -> State:
        """The state as it is here: unproven is not healthy, whatever the authority said last."""
        view = self._desk.view
        if view is None:
            return State.BIRTH
        late = self._desk.late_since is not None and view.standing is State.ATTACHED
        return State.VOLATILE if late else view.standing

    def late_ms(self, *, now: Millis) -> int:
        """Return for how long delivery has been unproven beyond its bound, 0 where it is proven."""
        since = self._desk.late_since
        return 0 if since is None else max(1, now - since)

    @property
    def is_unanswered(self) -> bool:
        """Whether nobody has answered anything of the session that was continued."""
        return farewell.is_unanswered(self._desk)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every candidate with its figures, oldest first."""
        return self._desk.paths.candidates

    def start(
        self, state: ClientState | None, *, now: Millis, wall_ms: int, entropy: bytes
    ) -> Ready:
        """Continue the session of the state file, or wait for a candidate to shake hands on."""
        desk, turn = self._desk, self._desk.turn(now, wall_ms, entropy)
        if state is None:
            desk.observe_process(turn, EventType.NODE_STARTED, Reason.NODE_START)
            self._courtship.begin(turn)
            return desk.end(turn)
        desk.view, desk.counters = restored(state, now=now)
        desk.paths.last_id = state.transports_reserved
        desk.paths.add_ids(state.lookup_ids)
        desk.observe_process(turn, EventType.NODE_STARTED, Reason.NODE_START)
        session = desk.view.session
        turn.bind.append(
            Restore(
                session_id=session.session_id,
                epoch=desk.view.epoch,
                owner=session.owner,
                sealed=state.root,
                policy=desk.view.policy,
            )
        )
        turn.bind.append(_tunnel(desk.view))
        jumps.pursue(desk, turn, Reason.SOCKET_ERROR, lost=BindingEpoch(0))
        return desk.end(turn)

    def handle(
        self, given: Fact | Discovery, *, now: Millis, wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what a fact, a find of discovery or an order of the person means."""
        desk, turn = self._desk, self._desk.turn(now, wall_ms, entropy)
        derive: Derive | None = None
        if desk.ended:
            return desk.end(turn)
        match given:
            case f.HandshakeDone():
                self._courtship.on_done(turn, given)
            case f.MessageReceived() if desk.view is None:
                derive = self._courtship.on_message(turn, given)
            case f.MessageReceived():
                on_message(desk, turn, given)
            case f.ResponseOpened():
                derive = jumps.on_response(desk, turn, given)
            case _ if isinstance(given, f.OfPath):
                self._on_path(turn, given)
            case _ if isinstance(given, f.OfBinding):
                self._on_binding(turn, given)
            case _:
                self._on_rest(turn, given)
        if derive is not None:
            return Ready(derive=derive)
        return desk.end(turn)

    def derived(
        self, derive: Derive, derived: Derived, *, now: Millis, wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what follows a performed `derive`."""
        desk, turn = self._desk, self._desk.turn(now, wall_ms, entropy)
        match derive:
            case SealRoot():
                self._courtship.conclude(turn, derived.sealed)
                if desk.view is not None:
                    turn.bind.append(_tunnel(desk.view))
            case Adopt(plan=Adopted() as plan):
                jumps.adopt(desk, turn, plan, derived.sealed)
            case _:
                raise TypeError(f"no client orders {derive}")
        return desk.end(turn)

    def activated(self, figures: Activated, *, now: Millis, wall_ms: int, entropy: bytes) -> Ready:
        """Return what follows a performed `Activate`, with the figures that it returned."""
        desk, turn = self._desk, self._desk.turn(now, wall_ms, entropy)
        events.observe_jump(desk, turn, given_up=figures.given_up, in_doubt=figures.in_doubt)
        return desk.end(turn)

    def wake(self, *, now: Millis, wall_ms: int, entropy: bytes) -> Ready:
        """Return what is due."""
        desk, turn = self._desk, self._desk.turn(now, wall_ms, entropy)
        due = sorted((at, what) for what, at in desk.timers.items() if at <= now)
        for _, what in due:
            if desk.timers.pop(what, None) is not None and not desk.ended:
                self._on_timer(turn, what)
        return desk.end(turn)

    def _on_timer(self, turn: Turn, what: str) -> None:
        desk = self._desk
        match what:
            case "ask":
                jumps.ask(desk, turn)
            case "withdraw":
                turn.bind.append(Withdraw())
            case "loss":
                farewell.expire(desk, turn)
            case "choose":
                jumps.consider_better(desk, turn)
            case "rekey":
                desk.timers["rekey"] = Millis(turn.now + REKEY_RETRY)
                jumps.wish(desk, turn, m.Trigger.REKEY, wanted=desk.active, now=turn.now)
            case "reset":
                jumps.lose(desk, turn, Reason.GATEWAY_RESTARTED)
            case "goodbye":
                farewell.say_goodbye(desk, turn)
            case "moved" | "ids":
                pass
            case _:
                self._courtship.on_timer(turn, what)

    def _on_appeared(self, turn: Turn, found: CandidateAppeared) -> None:
        desk = self._desk
        opened = desk.paths.open(found, room=desk.policy.max_candidates, now=turn.now)
        if opened is None:
            return
        turn.bind.append(opened)
        path = desk.paths.find(opened.path)
        if path is not None:
            desk.observe_candidate(turn, path.candidate, Reason.CANDIDATE_FOUND)
        if desk.view is None:
            self._courtship.on_path(turn, opened.path)
        elif desk.pursuit is not None:
            desk.pursuit.note_change(now=turn.now)
            self._ask_if_due(turn)

    def _on_gone(self, turn: Turn, gone: CandidateGone) -> None:
        desk = self._desk
        closed = desk.paths.close(gone)
        numbers = {path.id for path in closed}
        for path in closed:
            desk.observe_candidate(turn, path.candidate, gone.cause)
        if desk.view is None:
            self._courtship.on_lost(turn, numbers)
        elif desk.active in numbers:
            jumps.lose(desk, turn, gone.cause)
        elif desk.pursuit is not None and numbers & set(desk.pursuit.paths):
            desk.pursuit.note_change(now=turn.now)
            self._ask_if_due(turn)
        turn.bind += desk.paths.closing(closed)
        self._open_waiting(turn)

    def _open_waiting(self, turn: Turn) -> None:
        """Open what waited for a place, as far as there is room now."""
        paths, room = self._desk.paths, self._desk.policy.max_candidates
        while (found := paths.next_waiting(room=room)) is not None:
            self._on_appeared(turn, found)

    def _ask_if_due(self, turn: Turn) -> None:
        desk = self._desk
        jumps.schedule(desk)
        if desk.timers.get("ask", turn.now + 1) <= turn.now:
            jumps.ask(desk, turn)

    def _on_rest(self, turn: Turn, given: Fact | Discovery) -> None:
        match given:
            case CandidateAppeared():
                self._on_appeared(turn, given)
            case CandidateGone():
                self._on_gone(turn, given)
            case OperatorJump():
                jumps.on_ordered(self._desk, turn, given)
            case GoDown():
                farewell.go_down(self._desk, turn)
            case Stop():
                turn.keep_now = self._desk.view is not None
                self._desk.observe_process(turn, EventType.NODE_STOPPED, Reason.NODE_STOP)
            case f.BindingConfirmed() if self._is_current(given.epoch):
                if self._desk.view is not None:
                    self._desk.view.confirm()
                    events.observe_confirmation(self._desk, turn)
            case f.SessionGone():
                over = Reason.SESSION_GONE
                self._desk.finish(turn, Outcome.TERMINATED, over.value, reason=over)

    def _on_path(self, turn: Turn, fact: f.OfPath) -> None:
        desk = self._desk
        match fact:
            case f.PathAnswered():
                self._on_answered(turn, fact)
            case f.PathFellSilent():
                self._on_silent_path(turn, fact.path, Reason.CANDIDATE_SILENT)
            case f.PathFailed() if fact.path == desk.active:
                desk.paths.mark_silent(fact.path, now=turn.now)
                jumps.lose(desk, turn, Reason.SOCKET_ERROR)
            case f.PathFailed():
                self._on_silent_path(turn, fact.path, Reason.SOCKET_ERROR)
            case f.PathSized():
                jumps.on_sized(desk, turn, fact)

    def _on_binding(self, turn: Turn, fact: f.OfBinding) -> None:
        desk = self._desk
        if not self._is_current(fact.epoch):
            return
        match fact:
            case f.PathSampled():
                self._on_sampled(turn, fact)
            case f.BindingSilent():
                self._on_binding_silent(turn, fact)
            case f.AddressMoved():
                desk.timers["moved"] = Millis(turn.now + REBINDING_MEMORY)
                if desk.unwell:
                    jumps.lose(desk, turn, Reason.NAT_REBINDING)
            case f.ResetHinted() if "reset" not in desk.timers:
                self._on_reset(turn)
            case f.BindingWorn():
                desk.timers["rekey"] = turn.now
            case f.TrainsGivenUp():
                events.observe_trains(desk, turn, refused=fact.refused)

    def _on_answered(self, turn: Turn, fact: f.PathAnswered) -> None:
        desk = self._desk
        returned = desk.paths.measure(
            fact.path,
            srtt_us=fact.srtt_us,
            jitter_us=fact.jitter_us,
            loss=desk.binding_loss if fact.path == desk.active else fact.loss,
            now=turn.now,
        )
        path = desk.paths.find(fact.path)
        if returned and path is not None:
            desk.observe_candidate(turn, path.candidate, Reason.CANDIDATE_ANSWERED)
        if "reset" in desk.timers:
            if fact.path == desk.active:
                jumps.lose(desk, turn, Reason.GATEWAY_RESTARTED)
        elif desk.pursuit is not None:
            other = returned or fact.path not in desk.pursuit.paths
            if desk.pursuit.is_for_life and other:
                desk.pursuit.note_change(now=turn.now)
                self._ask_if_due(turn)
        else:
            jumps.consider_better(desk, turn)

    def _on_silent_path(self, turn: Turn, path_id: int, reason: Reason) -> None:
        path = self._desk.paths.find(path_id)
        if path is not None:
            self._desk.paths.mark_silent(path_id, now=turn.now)
            self._desk.observe_candidate(turn, path.candidate, reason)
        pursuit = self._desk.pursuit
        if pursuit is not None and path_id in pursuit.paths:
            pursuit.note_change(now=turn.now)
            self._ask_if_due(turn)

    def _on_sampled(self, turn: Turn, sample: f.PathSampled) -> None:
        desk = self._desk
        desk.unwell = sample.late_us > 0
        if not desk.unwell:
            desk.late_since = None
        elif desk.late_since is None:
            desk.late_since = Millis(turn.now - sample.late_us // 1000)
        if desk.active is not None:
            desk.note_loss(max(sample.loss_in, sample.loss_out))
            desk.paths.measure(
                desk.active,
                srtt_us=sample.srtt_us,
                jitter_us=sample.jitter_us,
                loss=desk.binding_loss,
                now=turn.now,
            )
        if desk.unwell and "moved" in desk.timers:
            jumps.lose(desk, turn, Reason.NAT_REBINDING)
        else:
            jumps.consider_better(desk, turn)

    def _on_binding_silent(self, turn: Turn, fact: f.BindingSilent) -> None:
        desk = self._desk
        if "moved" in desk.timers:
            jumps.lose(desk, turn, Reason.NAT_REBINDING)
            return
        if desk.active is not None:
            desk.paths.mark_silent(desk.active, now=turn.now)
        jumps.lose(desk, turn, Reason.HEARTBEAT_TIMEOUT, detect_ms=fact.silent_us // 1000)

    def _on_reset(self, turn: Turn) -> None:
        """Probe first: the hint may have been delayed, and an answer says where to ask."""
        desk, path = self._desk, self._desk.paths.find(self._desk.active)
        lookup_id = None if path is None else desk.paths.lookup_id(path, reuse=True)
        if path is None or lookup_id is None:
            jumps.lose(desk, turn, Reason.GATEWAY_RESTARTED)
            return
        desk.timers["reset"] = Millis(turn.now + RESET_PATIENCE)
        path.probed_every = Millis(RESET_PROBE_US // 1000)
        turn.bind.append(ProbePath(path=path.id, lookup_id=lookup_id, interval_us=RESET_PROBE_US))

    def _is_current(self, epoch: int) -> bool:
        view = self._desk.view
        return view is not None and view.binding is not None and view.binding.epoch == epoch


def _tunnel(view: View) -> OpenTunnel:
    return OpenTunnel(addresses=view.addresses, routes=view.routes, dns=view.dns, mtu=view.mtu)
