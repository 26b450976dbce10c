"""The client's process as it is explored: the real role, a shell, and a data plane of names."""

from dataclasses import dataclass, field
from typing import Final

from jumping_vpn.core import facts as f
from jumping_vpn.core import ready as r
from jumping_vpn.core.client import Activated, ClientCore, ClientSettings
from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.commands import CandidateAppeared, Discovery
from jumping_vpn.core.events import Origin
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Derived, Ready, encoded
from jumping_vpn.core.session.invariants import ensure
from jumping_vpn.sim.instant import instant
from jumping_vpn.sim.wire import (
    BIRTH_ROOT,
    Confirmation,
    Control,
    Downward,
    Gone,
    Packet,
    Request,
    ResetHint,
    Response,
    Traffic,
    name,
)

SESSION: Final = bytes(range(16))
ENDPOINT: Final = "192.0.2.1:4789"
SRTT_US: Final = 20_000


@dataclass(slots=True, kw_only=True)
class Pending:
    """The request that the data plane repeats: each unanswered copy, by what names it."""

    attempt: int
    interfaces: dict[bytes, str]


@dataclass(slots=True, kw_only=True)
class Client:
    """A running client. `kept` is its state file, which outlives the process."""

    core: ClientCore
    life: int
    kept: ClientState | None
    root: bytes = b""
    epoch: int = 0
    interface: str = ""
    paths: dict[int, str] = field(default_factory=dict)
    pending: Pending | None = None
    opened: Response | None = None
    adopting: tuple[int, bytes] | None = None
    wake_at: Millis | None = None
    finished: str = ""
    durable: bool = False

    @property
    def in_use(self) -> tuple[int, bytes] | None:
        """The binding that the client seals under and opens from."""
        return (self.epoch, self.root) if self.epoch else None


@dataclass(slots=True, kw_only=True)
class Step:
    """What one input made of a client: the packets it sent."""

    client: Client
    now: Millis
    sent: list[Packet] = field(default_factory=list)


def started(
    kept: ClientState | None, interfaces: tuple[str, ...], *, life: int, now: Millis
) -> Step:
    """Return a client that goes on from its state file, with these interfaces up."""
    settings = ClientSettings(
        name="laptop",
        version="explored",
        public_key=bytes(32),
        origin=Origin(node_id="laptop", reveal_addresses=True),
        requested=Policy(),
        handshake_timeout=Millis(10_000),
    )
    step = Step(client=Client(core=ClientCore(settings), life=life, kept=kept), now=now)
    _perform(step, step.client.core.start(kept, **instant(now)))
    for interface in interfaces:
        tell(step, CandidateAppeared(interface=interface, endpoint=ENDPOINT))
    for path in tuple(step.client.paths):
        tell(step, f.PathAnswered(path=path, srtt_us=SRTT_US, jitter_us=0, loss=0.0))
    return step


def tell(step: Step, given: f.Fact | Discovery) -> None:
    """Give the client a fact, a find of discovery, or an order."""
    if not step.client.finished:
        _perform(step, step.client.core.handle(given, **instant(step.now)))


def wake(step: Step) -> None:
    """Let the client do what is due."""
    if not step.client.finished:
        _perform(step, step.client.core.wake(**instant(step.now)))


def hear(step: Step, packet: Downward) -> None:
    """Let a packet arrive: what the data plane cannot open changes nothing."""
    client = step.client
    match packet:
        case Response() if client.pending and packet.digest in client.pending.interfaces:
            client.opened = packet
            path = _path(client, client.pending.interfaces.pop(packet.digest))
            if path is not None:
                fact = f.ResponseOpened(
                    token=1, path=path, attempt=client.pending.attempt, message=packet.message
                )
                tell(step, fact)
            client.opened = client.adopting = None
        case Control() if (packet.epoch, packet.root) == client.in_use:
            tell(step, f.MessageReceived(number=0, epoch=packet.epoch, message=packet.message))
        case Confirmation() if (packet.epoch, packet.root) == client.in_use:
            tell(step, f.BindingConfirmed(number=0, epoch=packet.epoch))
        case ResetHint() if packet.epoch == client.epoch:
            tell(step, f.ResetHinted(epoch=packet.epoch))
        case Gone() if client.pending and packet.digest in client.pending.interfaces:
            tell(step, f.SessionGone())
        case _:
            pass


def _perform(step: Step, ready: Ready) -> None:
    client = step.client
    while ready.derive is not None:
        derived = _derive(client, ready.derive)
        ready = client.core.derived(ready.derive, derived, **instant(step.now))
    client.wake_at = ready.wake_at
    if isinstance(ready.save, r.Keep) and not ready.save.lazy:
        client.kept, client.durable = ready.save.state, True
    follow = None
    for order in ready.bind:
        follow = _bind(step, order) or follow
    for message in ready.send:
        _send(step, message)
    if follow is not None:
        _perform(step, follow)


def _derive(client: Client, order: r.Derive) -> Derived:
    if isinstance(order, r.SealRoot):
        return Derived(sealed=client.root)
    opened = client.opened
    if not isinstance(order, r.Adopt) or opened is None:
        raise TypeError(f"no client derives {order}")
    client.adopting = order.epoch, name(opened.digest, opened.nonce, order.epoch, order.owner)
    return Derived(sealed=client.adopting[1])


def _bind(step: Step, order: r.Bind) -> Ready | None:  # noqa: C901  one case for each order
    client = step.client
    match order:
        case r.OpenPath():
            client.paths[order.path] = order.interface
        case r.ClosePath():
            client.paths.pop(order.path, None)
        case r.Restore():
            client.root, client.epoch = order.sealed, 0
        case r.StartHandshake():
            client.root, client.interface = BIRTH_ROOT, client.paths[order.path]
            client.epoch = 1
        case r.Activate():
            return _activate(step)
        case r.DropBinding():
            if order.last_words is not None:
                _control(step, encoded(order.last_words))
            client.epoch = 0
        case r.Withdraw():
            client.pending = None
        case r.Erase():
            client.root, client.epoch, client.pending = b"", 0, None
        case r.Finish():
            client.finished = order.outcome.value
        case _:
            pass
    return None


def _activate(step: Step) -> Ready:
    client = step.client
    ensure(client.adopting is not None, "a binding is activated that nothing granted")
    client.epoch, client.root = client.adopting or (0, b"")
    client.pending = None
    client.interface = client.paths[client.core.active or 0]
    step.sent.append(Traffic(client.epoch, client.root))
    figures = Activated(resent=0, given_up=0, in_doubt=0)
    return client.core.activated(figures, **instant(step.now))


def _send(step: Step, order: r.Send) -> None:
    client = step.client
    if isinstance(order, r.Message):
        _control(step, encoded(order.message))
        return
    if not isinstance(order, r.Request):
        raise TypeError(f"no client sends {order}")
    if order.lost_epoch:
        client.epoch = 0
    copies = {}
    for path, _, message in order.candidates:
        interface = client.paths[path]
        digest = name(client.root, order.attempt, interface, client.life)
        copies[digest] = interface
        step.sent.append(Request(order.attempt, interface, digest, client.root, encoded(message)))
    client.pending = Pending(attempt=order.attempt, interfaces=copies)


def _control(step: Step, message: bytes) -> None:
    client = step.client
    if client.epoch:
        step.sent.append(Control("up", client.epoch, client.root, message))


def _path(client: Client, interface: str) -> int | None:
    return next((path for path, each in client.paths.items() if each == interface), None)
