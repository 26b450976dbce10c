"""A gateway's process as it is explored: the real role, a shell, and a data plane of names.

The shell does what the driver does, in the same order, and can be stopped after the save: what
follows it is done in a later step, so that everybody else may act in between, or never.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from jumping_vpn.core import facts as f
from jumping_vpn.core import ready as r
from jumping_vpn.core.desk import GatewaySettings
from jumping_vpn.core.events import Origin
from jumping_vpn.core.gateway import GatewayCore
from jumping_vpn.core.ids import Millis, NodeId, SessionNumber
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import RETRIES_MAX, Derived, Ready, SaveFailure, encoded
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.model import State
from jumping_vpn.core.wire.messages import Envelope
from jumping_vpn.sim.client import ENDPOINT, SESSION, SRTT_US
from jumping_vpn.sim.instant import instant
from jumping_vpn.sim.store import Ledger, created, saved, touched
from jumping_vpn.sim.wire import (
    BIRTH_ROOT,
    Confirmation,
    Control,
    Gone,
    Packet,
    Request,
    ResetHint,
    Response,
    Traffic,
    Upward,
    name,
)

NUMBER: Final = SessionNumber(7)
LOOKUP_IDS: Final = 4
SOURCE: Final = "198.51.100.1:1024"


@dataclass(slots=True, kw_only=True)
class Held:
    """What the data plane holds of the session: roots that open requests, and its bindings."""

    roots: dict[int, bytes]
    current: tuple[int, bytes] | None = None
    previous: tuple[int, bytes] | None = None
    confirmed: bool = True


@dataclass(slots=True, kw_only=True)
class Opened:
    """The request under decision, and what was derived for it."""

    request: Request
    nonce: bytes
    derived: tuple[int, bytes] | None = None


@dataclass(slots=True, kw_only=True)
class Stage:
    """What is left of an occasion once its write is durable."""

    ready: Ready
    opened: Opened | None


@dataclass(slots=True, kw_only=True)
class Gateway:
    """A running gateway. `cached` is its copy of the record, which may be behind the store's."""

    core: GatewayCore
    node: NodeId
    life: int
    cached: Record | None
    held: Held | None = None
    answers: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    opened: Opened | None = None
    derivations: int = 0
    wake_at: Millis | None = None
    stage: Stage | None = None


@dataclass(slots=True, kw_only=True)
class Step:
    """What one input makes of a gateway and the store; `failing`: the store refuses to write."""

    gateway: Gateway
    ledger: Ledger
    now: Millis
    failing: bool = False
    failed: bool = False
    sent: list[Packet] = field(default_factory=list)


def allocate(_: bytes) -> tuple[str, ...]:
    """Return the one session's inner address."""
    return ("10.77.0.2/24",)


def name_of(_: bytes) -> str:
    """Return the one client's name."""
    return "laptop"


def started(node: NodeId, ledger: Ledger, *, life: int, now: Millis, policy: Policy) -> Gateway:
    """Return a process that takes over what the store holds."""
    settings = GatewaySettings(
        node_id=node,
        incarnation=life,
        started=now,
        origin=Origin(node_id=str(node), reveal_addresses=True),
        policy=policy,
        policy_version=1,
        routes=("10.0.0.0/8",),
        dns=(),
        endpoints=(ENDPOINT,),
        mtu=1400,
        lookup_ids=LOOKUP_IDS,
    )
    core = GatewayCore(settings, allocate=allocate, name_of=name_of)
    record = ledger.record
    gateway = Gateway(core=core, node=node, life=life, cached=record)
    if record is not None and record.session.state is not State.TERMINATED:
        gateway.held = Held(roots=_roots(record))
        gateway.wake_at = now
    return gateway


def hear(step: Step, packet: Upward) -> None:
    """Let a packet arrive: what the data plane cannot open makes no fact."""
    match packet:
        case Request():
            _open(step, packet)
        case Control():
            _on_control(step, packet)
        case Traffic():
            _on_traffic(step, packet.epoch, packet.root)


def wake(step: Step) -> None:
    """Let the role do what is due."""
    record = step.gateway.cached
    if record is not None:
        _decide(step, lambda: step.gateway.core.wake(_cached(step), **instant(step.now)))


def tell(step: Step, fact: f.Fact) -> None:
    """Give the role a fact."""
    _decide(step, lambda: _handled(step, fact))


def go_on(step: Step) -> None:
    """Do what follows the durable write: bind, then send."""
    gateway, stage = step.gateway, step.gateway.stage
    if stage is None:
        return
    gateway.opened, gateway.stage = stage.opened, None
    _finish(step, stage.ready)


def flush(step: Step) -> None:
    """Write what was only to be written when convenient."""
    record = step.gateway.cached
    if record is not None:
        step.ledger = touched(step.ledger, record) or step.ledger


def _decide(step: Step, decide: Callable[[], Ready]) -> None:
    gateway = step.gateway
    for tries_left in reversed(range(RETRIES_MAX + 1)):
        ready = decide()
        if ready.read_again and tries_left:
            gateway.cached = step.ledger.record
            continue
        while ready.derive is not None:
            derived = _derive(gateway, ready.derive)
            ready = gateway.core.derived(ready.derive, derived, **instant(step.now))
        failure = _save(step, ready)
        if failure is SaveFailure.CONCURRENT_UPDATE and tries_left:
            gateway.cached = step.ledger.record
            continue
        break
    if failure is not None:
        ready = gateway.core.unsaved(ready, failure, **instant(step.now))
    elif isinstance(ready.save, r.Save) and (ready.bind or ready.send):
        gateway.stage = Stage(ready=ready, opened=gateway.opened)
        gateway.opened = None
        return
    _finish(step, ready)


def _handled(step: Step, fact: f.Fact) -> Ready:
    gateway = step.gateway
    return gateway.core.handle(fact, gateway.cached, **instant(step.now))


def _cached(step: Step) -> Record:
    record = step.gateway.cached
    if record is None:
        raise LookupError("no record")
    return record


def _save(step: Step, ready: Ready) -> SaveFailure | None:
    gateway, save = step.gateway, ready.save
    if save is None or isinstance(save, r.Keep):
        return None
    if isinstance(save, r.Touch) and save.lazy:
        gateway.cached = save.record
        return None
    if step.failing:
        step.failed = True
        return SaveFailure.STORE_UNAVAILABLE
    if isinstance(save, r.Touch):
        ledger = touched(step.ledger, save.record)
    elif save.create:
        ledger = created(step.ledger, save, NUMBER)
    else:
        ledger = saved(step.ledger, save)
    if ledger is None:
        return SaveFailure.CONCURRENT_UPDATE
    step.ledger, gateway.cached = ledger, ledger.record
    return None


def _derive(gateway: Gateway, order: r.Derive) -> Derived:
    if isinstance(order, r.SealBirth):
        return Derived(sealed=BIRTH_ROOT)
    opened = gateway.opened
    if not isinstance(order, r.DeriveJump) or opened is None:
        raise TypeError(f"no gateway derives {order}")
    root = name(opened.request.digest, opened.nonce, order.epoch, order.owner)
    opened.derived = order.epoch, root
    gateway.derivations += 1
    ids = tuple(name("lookup id", number)[:16].ljust(16) for number in range(order.ids))
    return Derived(sealed=root, lookup_ids=ids)


def _finish(step: Step, ready: Ready) -> None:
    gateway = step.gateway
    gateway.wake_at = ready.wake_at
    for order in ready.bind:
        _bind(step, order)
    for message in ready.send:
        _send(step, message)
    gateway.opened = None
    record = gateway.cached
    if record is not None and record.session.state is State.TERMINATED:
        gateway.core.forget(record.session.session_id)
        gateway.wake_at = None


def _bind(step: Step, order: r.Bind) -> None:
    gateway = step.gateway
    held, opened = gateway.held, gateway.opened
    match order:
        case r.AdoptBirth():
            gateway.held = Held(roots={1: BIRTH_ROOT}, current=(1, BIRTH_ROOT))
        case r.BindJump() if held is not None and opened is not None and opened.derived:
            epoch, root = opened.derived
            record = _cached(step)
            gateway.held = Held(
                roots={record.confirmed.epoch: record.confirmed.sealed, epoch: root},
                current=opened.derived,
                previous=held.current if order.keep_previous else None,
                confirmed=False,
            )
        case r.DropBinding() if held is not None:
            _last_words(step, order.last_words)
            held.current = held.previous = None
        case r.Release():
            _last_words(step, order.last_words)
            gateway.held = None
        case _:
            pass


def _last_words(step: Step, words: Envelope | None) -> None:
    if words is not None:
        _tell_client(step, encoded(words))


def _send(step: Step, order: r.Send) -> None:
    gateway, opened = step.gateway, step.gateway.opened
    match order:
        case r.Respond() if opened is not None:
            answer = encoded(order.message)
            gateway.answers.setdefault(opened.request.digest, (opened.nonce, answer))
            step.sent.append(_response(opened.request, opened.nonce, answer))
        case r.RepeatAnswer() if opened is not None:
            remembered = gateway.answers.get(opened.request.digest)
            nonce, answer = remembered or (opened.nonce, encoded(order.otherwise))
            step.sent.append(_response(opened.request, nonce, answer))
        case r.Gone() if opened is not None:
            step.sent.append(Gone(opened.request.digest))
        case r.Grant() | r.Message():
            ids = tuple(name("lookup id", n)[:16].ljust(16) for n in range(order.ids))
            _tell_client(step, encoded(order.message, ids))
        case _:
            pass


def _tell_client(step: Step, message: bytes) -> None:
    held = step.gateway.held
    if held is not None and held.current is not None:
        step.sent.append(Control("down", *held.current, message))


def _response(request: Request, nonce: bytes, message: bytes) -> Response:
    return Response(request.interface, request.digest, nonce, message)


def _open(step: Step, request: Request) -> None:
    gateway, held = step.gateway, step.gateway.held
    roots = {} if held is None else held.roots
    proven = [epoch for epoch, root in roots.items() if root == request.root]
    nonce = name("nonce", gateway.node, gateway.life, gateway.derivations)
    gateway.opened = Opened(request=request, nonce=nonce)
    record = gateway.cached
    if record is not None and record.session.state is State.TERMINATED:
        step.sent.append(Gone(request.digest))
    elif proven:
        tell(step, _requested(request, proven[0]))
    gateway.opened = None


def _requested(request: Request, proven_by: int) -> f.ReattachRequested:
    return f.ReattachRequested(
        token=1,
        number=NUMBER,
        proven_by_epoch=proven_by,
        attempt=request.attempt,
        digest=request.digest,
        source=SOURCE,
        source_verified=True,
        srtt_us=SRTT_US,
        sent_up_to=0,
        window_lost=False,
        counter_lost=False,
        in_doubt=0,
        given_up=0,
        message=request.message,
    )


def _on_control(step: Step, packet: Control) -> None:
    held = step.gateway.held
    keys = packet.epoch, packet.root
    if held is None:
        if packet.root == BIRTH_ROOT and step.ledger.record is None:
            tell(step, _birth(packet.message))
        return
    if keys not in {held.current, held.previous}:
        step.sent.append(ResetHint(packet.epoch))
        return
    _on_traffic(step, *keys)
    if step.gateway.stage is None:
        tell(step, f.MessageReceived(number=NUMBER, epoch=packet.epoch, message=packet.message))


def _birth(message: bytes) -> f.BirthProven:
    return f.BirthProven(
        birth=1, session_id=SESSION, client_public=bytes(32), source=SOURCE, message=message
    )


def _on_traffic(step: Step, epoch: int, root: bytes) -> None:
    held = step.gateway.held
    if held is None or (epoch, root) not in {held.current, held.previous}:
        step.sent.append(ResetHint(epoch))
        return
    if (epoch, root) == held.current:
        if not held.confirmed:
            held.confirmed, held.previous = True, None
            held.roots = {epoch: root}
            tell(step, f.BindingConfirmed(number=NUMBER, epoch=epoch))
        step.sent.append(Confirmation(epoch, root))


def _roots(record: Record) -> dict[int, bytes]:
    roots = (record.confirmed, record.unconfirmed)
    return {root.epoch: root.sealed for root in roots if root is not None}
