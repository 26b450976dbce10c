"""A tiny deterministic world in which the two roles talk: one client, one gateway, a few paths.

Cryptography is facts here: a root is a name, a packet opens if both sides know the same name, and
the world asserts that no name is ever used for two requests. Shells are a dozen lines each, because
a role says what to do in order. Everything runs on one heap of events, so a run is the same every
time.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core import facts as f
from jumping_vpn.core import ready as r
from jumping_vpn.core.client import Activated, ClientCore, ClientSettings
from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.commands import CandidateAppeared, CandidateGone
from jumping_vpn.core.desk import GatewaySettings
from jumping_vpn.core.events import Event, Origin, decode_event, encode_event
from jumping_vpn.core.gateway import GatewayCore
from jumping_vpn.core.ids import Millis, NodeId, SessionNumber
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Derived, Ready, SaveFailure, encoded
from jumping_vpn.core.record import Record
from jumping_vpn.core.replay import replay
from jumping_vpn.core.session.reasons import Reason

WALL = 1_800_000_000_000
ENTROPY = bytes(range(64))
SESSION = bytes(range(16))
NUMBER = SessionNumber(7)
ENDPOINT = "192.0.2.1:4789"
REPEAT = 100


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


class Link(Struct):
    """One interface of the client: who can be heard over it, and how long a packet takes."""

    up: bool = True
    down: bool = True
    delay: int = 10


class Held(Struct):
    """What the gateway's data plane holds of a session."""

    roots: list[tuple[int, bytes]]
    epoch: int = 0
    root: bytes = b""
    previous: tuple[int, bytes] | None = None
    confirmed: bool = True
    path: str = ""


class Opened(Struct):
    """A request that the gateway's data plane has opened."""

    digest: bytes
    interface: str
    nonce: int
    derived: tuple[int, bytes] | None = None
    eph: bytes = b""


class World:
    def __init__(self, *, policy: Policy | None = None, clock_error_ms: int = 0) -> None:
        self.now = 0
        self.policy = policy or Policy()
        self.clock_error_ms = clock_error_ms
        self.links = {"wlan0": Link(), "wwan0": Link()}
        self.log: list[str] = []
        self.events: list[Event] = []
        self.client_events: list[Event] = []
        self.store: Record | None = None
        self.state: ClientState | None = None
        self.failing: list[SaveFailure] = []
        self.finish: r.Finish | None = None
        self.drop: Callable[[str, str], bool] = lambda _direction, _kind: False
        self.used: set[bytes] = set()
        self.incarnation = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.start_gateway()
        self.start_client(None)

    # Processes.

    def start_gateway(self) -> None:
        self.incarnation += 1
        settings = GatewaySettings(
            node_id=NodeId(1),
            incarnation=self.incarnation,
            started=Millis(self.now),
            origin=Origin(node_id="1", reveal_addresses=True),
            policy=self.policy,
            policy_version=1,
            routes=("10.0.0.0/8",),
            dns=(),
            endpoints=(ENDPOINT,),
            mtu=1400,
        )
        self.gateway = GatewayCore(
            settings, allocate=lambda _: ("10.77.0.2/24",), name_of=lambda _: "laptop"
        )
        self.held: Held | None = None
        self.answers: dict[bytes, tuple[bytes, int, bytes]] = {}
        self.tokens: dict[int, Opened] = {}
        self._wake_gateway = 0
        if self.store is not None:
            roots = [self.store.confirmed, self.store.unconfirmed]
            self.held = Held(roots=[(x.epoch, x.sealed) for x in roots if x is not None])

    def start_client(self, state: ClientState | None) -> None:
        settings = ClientSettings(
            name="laptop",
            version="test",
            public_key=bytes(32),
            origin=Origin(node_id="laptop", reveal_addresses=True),
            requested=Policy(),
            handshake_timeout=Millis(10_000),
        )
        self.client = ClientCore(settings)
        self.roots: dict[int, bytes] = {}
        self.client_epoch = 0
        self.adopting: tuple[int, bytes] | None = None
        self.paths: dict[int, str] = {}
        self.responses: dict[int, tuple[bytes, int, int]] = {}
        self.pending: tuple[int, tuple[tuple[str, bytes, bytes], ...]] | None = None
        self._asked = 0
        self._wake_client = 0
        self.root = b""
        self._client(self.client.start(state, **self._client_time()))

    # The person at the keyboard.

    def appear(self, *interfaces: str) -> None:
        for interface in interfaces:
            self.tell(CandidateAppeared(interface=interface, endpoint=ENDPOINT))

    def vanish(self, interface: str) -> None:
        self.links[interface].up = self.links[interface].down = False
        self.tell(CandidateGone(interface=interface, endpoint=None, cause=Reason.LINK_DOWN))

    def tell(self, given: object) -> None:
        self._client(self.client.handle(given, **self._client_time()))

    def hear(self, fact: f.Fact) -> None:
        """Give the gateway's role a fact."""
        self._gateway_does(lambda: self.gateway.handle(fact, self.store, **self._time()))

    def run(self, until: int) -> None:
        while self._heap and self._heap[0][0] <= until:
            at, _, act = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            act()
        self.now = until

    def at(self, when: int, act: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, act))

    def attach(self) -> None:
        """Bring the session to life over wlan0, with wwan0 standing by."""
        self.appear("wlan0", "wwan0")
        self.run(self.now + 200)

    # The wire.

    def up(self, interface: str, kind: str, arrive: Callable[[], None]) -> None:
        link = self.links[interface]
        if link.up and not self.drop("up", kind):
            self.at(self.now + link.delay, arrive)

    def down(self, interface: str, kind: str, arrive: Callable[[], None]) -> None:
        link = self.links[interface]
        if link.down and not self.drop("down", kind):
            self.at(self.now + link.delay, arrive)

    # The client's shell and data plane.

    def _client(self, ready: Ready) -> None:
        while ready.derive is not None:
            derived = self._client_derives(ready.derive)
            ready = self.client.derived(ready.derive, derived, **self._client_time())
        if isinstance(ready.save, r.Keep):
            self.state = ready.save.state
        follow = None
        for order in ready.bind:
            follow = self._client_binds(order) or follow
        for message in ready.send:
            self._client_sends(message)
        self.client_events += ready.observe
        self._wake_client += 1
        mark = self._wake_client
        if ready.wake_at is not None:
            self.at(max(ready.wake_at, self.now), lambda: self._client_wakes(mark))
        if follow is not None:
            self._client(follow)

    def _client_wakes(self, mark: int) -> None:
        if mark == self._wake_client:
            self._client(self.client.wake(**self._client_time()))

    def _client_derives(self, order: r.Derive) -> Derived:
        if isinstance(order, r.SealRoot):
            return Derived(sealed=self.root)
        assert isinstance(order, r.Adopt)
        request, nonce, _ = self.responses[order.token]
        root = digest(request, nonce, order.epoch, order.owner)
        self.adopting = (order.epoch, root)
        return Derived(sealed=root)

    def _client_binds(self, order: r.Bind) -> Ready | None:  # noqa: C901  one case an order
        match order:
            case r.OpenPath():
                self.paths[order.path] = order.interface
            case r.ClosePath():
                self.paths.pop(order.path, None)
            case r.Restore():
                self.root, self.client_epoch = order.sealed, 0
            case r.StartHandshake():
                path = order.path
                self.up(self.paths[path], "HANDSHAKE", lambda: self._handshake(path))
            case r.ProbePath() if order.interval_us:
                self._probe(order.path)
            case r.Activate():
                assert self.adopting is not None
                assert self.state is not None
                assert self.state.root == self.adopting[1], "durable before use"
                self.client_epoch, self.root = self.adopting
                self.pending = None
                path = next(iter(p for p in self.paths if p == self.client.active))
                self.interface = self.paths[path]
                self._confirm(self.client_epoch)
                figures = Activated(resent=0, given_up=0, in_doubt=0)
                return self.client.activated(figures, **self._client_time())
            case r.DropBinding():
                if order.last_words is not None:
                    self._control(encoded(order.last_words))
                self.client_epoch = 0
            case r.Withdraw():
                self.pending = None
            case r.Finish():
                self.finish = order
        return None

    def _client_sends(self, order: r.Send) -> None:
        match order:
            case r.Message():
                self._control(encoded(order.message))
            case r.Request():
                if order.lost_epoch:
                    self.client_epoch = 0
                copies = []
                for path, _, message in order.candidates:
                    self._order += 1
                    name = digest(self.root, order.attempt, path, self._order)
                    assert name not in self.used
                    self.used.add(name)
                    copies.append((self.paths[path], name, encoded(message)))
                self.pending = (order.attempt, tuple(copies))
                self._asked += 1
                self._ask(self._asked)

    def _ask(self, mark: int) -> None:
        if self.pending is None or mark != self._asked:
            return
        attempt, copies = self.pending
        for interface, name, message in copies:
            self.up(interface, "REQUEST", self._request(attempt, interface, name, message))
        self.at(self.now + REPEAT, lambda: self._ask(mark))

    def _request(
        self, attempt: int, interface: str, name: bytes, message: bytes
    ) -> Callable[[], None]:
        root = self.root
        return lambda: self._gateway_opens(attempt, interface, name, message, root)

    def _control(self, message: bytes) -> None:
        epoch, root = self.client_epoch, self.root
        if epoch:
            self.up(self.interface, "CONTROL", lambda: self._gateway_hears(epoch, root, message))

    def _confirm(self, epoch: int) -> None:
        root, interface = self.root, self.interface
        if self.client_epoch == epoch and not self._is_confirmed(epoch):
            self.up(interface, "CONFIRM", lambda: self._gateway_confirms(epoch, root))
            self.at(self.now + REPEAT, lambda: self._confirm(epoch))

    def _is_confirmed(self, epoch: int) -> bool:
        return self.held is not None and self.held.epoch == epoch and self.held.confirmed

    def _probe(self, path: int) -> None:
        interface = self.paths[path]

        def answer() -> None:
            if self.held is not None:
                self.down(interface, "PROBE", heard)

        def heard() -> None:
            srtt = 2 * self.links[interface].delay * 1000
            self.tell(f.PathAnswered(path=path, srtt_us=srtt, jitter_us=0, loss=0.0))

        self.up(interface, "PROBE", answer)

    def _handshake(self, path: int) -> None:
        root = digest("handshake")

        def done() -> None:
            self.root, self.client_epoch, self.interface = root, 1, self.paths[path]
            self.tell(f.HandshakeDone(path=path, session_id=SESSION))

        self.down(self.paths[path], "HANDSHAKE", done)

    # The gateway's shell and data plane.

    def _gateway_hears(self, epoch: int, root: bytes, message: bytes) -> None:
        if self.held is None:
            if root == digest("handshake"):
                self.hear(
                    f.BirthProven(
                        birth=1,
                        session_id=SESSION,
                        client_public=b"p" * 32,
                        source="198.51.100.1:1024",
                        message=message,
                    )
                )
            return
        if (epoch, root) in {(self.held.epoch, self.held.root), self.held.previous}:
            self._gateway_confirms(epoch, root)
            self.hear(f.MessageReceived(number=NUMBER, epoch=epoch, message=message))
        elif self.held.epoch != epoch:
            interface = self.interface
            self.down(interface, "RESET", lambda: self.tell(f.ResetHinted(epoch=epoch)))

    def _gateway_confirms(self, epoch: int, root: bytes) -> None:
        held = self.held
        if held is None or (epoch, root) != (held.epoch, held.root) or held.confirmed:
            return
        held.confirmed, held.previous = True, None
        held.roots = [(epoch, root)]
        self.hear(f.BindingConfirmed(number=NUMBER, epoch=epoch))
        acknowledged = f.BindingConfirmed(number=0, epoch=epoch)
        self.down(held.path, "CONFIRMED", lambda: self.tell(acknowledged))

    def _gateway_opens(
        self, attempt: int, interface: str, name: bytes, message: bytes, root: bytes
    ) -> None:
        held = self.held
        proven = [epoch for epoch, known in (held.roots if held else []) if known == root]
        if not proven:
            self.log.append(f"t={self.now} gateway cannot open attempt {attempt}")
            return
        self._order += 1
        token = self._order
        self.tokens[token] = Opened(digest=name, interface=interface, nonce=token)
        self.hear(
            f.ReattachRequested(
                token=token,
                number=NUMBER,
                proven_by_epoch=proven[0],
                attempt=attempt,
                digest=name,
                source="198.51.100.1:1024",
                source_verified=True,
                srtt_us=20_000,
                sent_up_to=0,
                window_lost=False,
                counter_lost=False,
                in_doubt=0,
                given_up=0,
                message=message,
            )
        )

    def _gateway_does(self, decide: Callable[[], Ready]) -> None:
        for left in reversed(range(r.RETRIES_MAX + 1)):
            ready = decide()
            if ready.read_again:
                ready = decide()
            while ready.derive is not None:
                derived = self._gateway_derives(ready.derive)
                ready = self.gateway.derived(ready.derive, derived, **self._time())
            if ready.save is not None and self.failing and not getattr(ready.save, "lazy", False):
                failure = self.failing.pop(0)
                if failure is SaveFailure.CONCURRENT_UPDATE and left:
                    continue
                ready = self.gateway.unsaved(ready, failure, **self._time())
            break
        self._save(ready)
        for order in ready.bind:
            self._gateway_binds(order)
        for message in ready.send:
            self._gateway_sends(message)
        self.events += ready.observe
        self._wake_gateway += 1
        mark = self._wake_gateway
        if ready.wake_at is not None:
            self.at(max(ready.wake_at, self.now), lambda: self._gateway_wakes(mark))

    def _gateway_wakes(self, mark: int) -> None:
        store = self.store
        if mark == self._wake_gateway and store is not None:
            self._gateway_does(lambda: self.gateway.wake(store, **self._time()))

    def _save(self, ready: Ready) -> None:
        save = ready.save
        if isinstance(save, r.Save):
            if self.store is not None:
                assert save.expected_version == self.store.session.version
            self.store = replace(save.record, number=NUMBER)
            self.events += save.events
            self.log += [told(event, self.now) for event in save.events]
        elif isinstance(save, r.Touch):
            assert self.store is not None
            assert save.record.session.version == self.store.session.version
            self.store = save.record

    def _gateway_derives(self, order: r.Derive) -> Derived:
        if isinstance(order, r.SealBirth):
            return Derived(sealed=digest("handshake"))
        assert isinstance(order, r.DeriveJump)
        opened = self.tokens[order.token]
        root = digest(opened.digest, opened.nonce, order.epoch, order.owner)
        opened.derived = (order.epoch, root)
        ids = tuple(digest("id", order.token, n)[:16] for n in range(order.ids))
        return Derived(sealed=root, lookup_ids=ids)

    def _gateway_binds(self, order: r.Bind) -> None:
        match order:
            case r.AdoptBirth():
                root = digest("handshake")
                self.held = Held(roots=[(1, root)], epoch=1, root=root, path="wlan0")
            case r.BindJump():
                assert self.held is not None
                opened = self.tokens[order.token]
                assert opened.derived is not None
                assert self.store is not None
                previous = (self.held.epoch, self.held.root) if order.keep_previous else None
                confirmed = self.store.confirmed
                self.held = Held(
                    roots=[(confirmed.epoch, confirmed.sealed), opened.derived],
                    epoch=opened.derived[0],
                    root=opened.derived[1],
                    previous=previous,
                    confirmed=False,
                    path=opened.interface,
                )
            case r.DropBinding():
                assert self.held is not None
                self.held.epoch, self.held.root = 0, b""
            case r.Release():
                if order.last_words is not None:
                    self._gateway_tells(encoded(order.last_words))
                self.held = None

    def _gateway_sends(self, order: r.Send) -> None:
        match order:
            case r.Respond():
                opened = self.tokens.pop(order.token)
                answer = encoded(order.message)
                self.answers[opened.digest] = (answer, opened.nonce, opened.digest)
                self._respond(opened.interface, answer, opened)
            case r.RepeatAnswer():
                opened = self.tokens.pop(order.token)
                remembered = self.answers.get(opened.digest)
                if remembered is None:
                    self._respond(opened.interface, encoded(order.otherwise), opened)
                else:
                    again = replace(opened, nonce=remembered[1])
                    self._respond(opened.interface, remembered[0], again)
            case r.Gone():
                opened = self.tokens.pop(order.token)
                self.down(opened.interface, "GONE", lambda: self.tell(f.SessionGone()))
            case r.Grant() | r.Message():
                ids = tuple(digest("id", self.now, n)[:16] for n in range(order.ids))
                self._gateway_tells(encoded(order.message, ids))
            case r.RejectBirth():
                self.held = Held(roots=[], epoch=1, path="wlan0")
                self._gateway_tells(encoded(order.message))

    def _gateway_tells(self, message: bytes) -> None:
        held = self.held
        if held is None:
            return
        epoch = held.epoch

        def arrive() -> None:
            if self.client_epoch == epoch:
                self.tell(f.MessageReceived(number=0, epoch=epoch, message=message))

        if epoch:
            self.down(held.path, "CONTROL", arrive)

    def _respond(self, interface: str, answer: bytes, opened: Opened) -> None:
        def arrive() -> None:
            asked = {} if self.pending is None else {c[1]: c[0] for c in self.pending[1]}
            if self.pending is None or opened.digest not in asked:
                return
            self._order += 1
            self.responses[self._order] = (opened.digest, opened.nonce, 0)
            path = next(p for p, name in self.paths.items() if name == interface)
            self.tell(
                f.ResponseOpened(
                    token=self._order, path=path, attempt=self.pending[0], message=answer
                )
            )

        self.down(interface, "RESPONSE", arrive)

    def _time(self) -> dict[str, object]:
        return {"now": Millis(self.now), "wall_ms": WALL + self.now, "entropy": ENTROPY}

    def _client_time(self) -> dict[str, object]:
        wall = WALL + self.now + self.clock_error_ms
        return {"now": Millis(self.now), "wall_ms": wall, "entropy": ENTROPY}

    def silence(self, interface: str) -> None:
        """Let the path die without a word, and the client's data plane notice."""
        self.links[interface].up = self.links[interface].down = False
        self.tell(
            f.BindingSilent(
                epoch=self.client_epoch,
                direction="both",
                silent_us=90_000,
                misses=3,
                unanswered=9,
                standby_answered=True,
            )
        )

    def moves(self) -> list[str]:
        return [line.partition(" ")[2] for line in self.log]


def told(event: Event, now: int) -> str:
    data = event.data
    where = getattr(data, "transport_after", None)
    interface = "-" if where is None else where.split("/")[1]
    return (
        f"t={now} v{event.state_version} {data.state_before} -> {data.state_after}"
        f" {interface} {event.reason_code}"
    )


def faults(events: list[Event]) -> list[tuple[int | None, str]]:
    """Return what replaying a log through the table and the invariants finds wrong."""
    session, found = None, []
    for event in events:
        if event.session_id is not None:
            replayed = replay(session, decode_event(encode_event(event)))
            session = replayed.session
            found += [(event.state_version, each) for each in replayed.broken]
    return found


def observed(events: list[Event], event_type: str) -> Iterator[Event]:
    return (event for event in events if event.event_type == event_type)


__all__ = ["World", "observed"]
