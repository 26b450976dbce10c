"""A client's driver around the real role; its data plane and its tunnel take notes."""
# ruff: noqa: ARG002

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jumping_vpn.client.driver import ClientDriver
from jumping_vpn.client.history import History
from jumping_vpn.client.orders import Orders
from jumping_vpn.client.plane import PathFigures
from jumping_vpn.client.state import StateKeeper, load
from jumping_vpn.core.client import ClientCore, ClientSettings
from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.commands import CandidateAppeared, Discovery
from jumping_vpn.core.events import Event, Origin
from jumping_vpn.core.facts import Fact, HandshakeDone, MessageReceived, ResponseOpened
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Finish, OpenTunnel
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import decode, encode
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.crew import Crew
from support.gateways import ENDPOINT, session_id, until


class NotingPlane:
    """Takes facts from a test and writes down each order that it is given."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes
        self.queue: asyncio.Queue[Fact] = asyncio.Queue()
        self.messages: list[m.Envelope] = []
        self.requests: list[tuple[int, list[int]]] = []
        self.unopenable: set[str] = set()
        self.lost_tokens: set[int] = set()

    async def facts(self, limit: int) -> Sequence[Fact]:
        return [await self.queue.get()]

    def extend_fence(self, until_us: int) -> None:
        pass

    def counters(self) -> dict[str, int]:
        return {"data_in": 1}

    def paths(self) -> Sequence[PathFigures]:
        return ()

    def seal_root(self) -> bytes:
        self.notes.append("seal_root")
        return b"root of the birth"

    def adopt(self, token: int, epoch: int, owner: int) -> bytes:
        if token in self.lost_tokens:
            raise KeyError(token)
        self.notes.append("adopt")
        return b"root %d" % epoch

    def restore(self, session_id: bytes, epoch: int, sealed: bytes, policy: Policy) -> None:
        self.notes.append(f"restore {epoch} {sealed.decode()}")

    def open_path(self, path: int, interface: str, remote: str, port: int, mark: int) -> None:
        if interface in self.unopenable:
            raise OSError(19, "No such device")
        self.notes.append(f"open_path {path}")

    def close_path(self, path: int) -> None:
        self.notes.append(f"close_path {path}")

    def start_handshake(self, path: int) -> None:
        self.notes.append(f"start_handshake {path}")

    def stop_handshake(self) -> None:
        self.notes.append("stop_handshake")

    def activate(self, token: int) -> tuple[int, int, int]:
        self.notes.append("activate")
        return 0, 0, 0

    def drop_binding(self, number: int, epoch: int) -> None:
        self.notes.append("drop_binding")

    def set_limits(self, number: int, policy: Policy) -> None:
        self.notes.append("set_limits")

    def probe(self, path: int, lookup_id: bytes, interval_us: int) -> None:
        self.notes.append(f"probe {path}")

    def withdraw(self) -> None:
        self.notes.append("withdraw")

    def erase(self) -> None:
        self.notes.append("erase")

    def request(
        self, attempt: int, candidates: Sequence[tuple[int, bytes, bytes]], *, early: bool
    ) -> None:
        self.notes.append("request")
        self.requests.append((attempt, [path for path, _, _ in candidates]))

    def send_message(self, number: int, message: bytes) -> bool:
        envelope = decode(message)
        self.notes.append(f"send {type(envelope.payload).__name__}")
        self.messages.append(envelope)
        return True


class NotingKeeper(StateKeeper):
    """Writes the state file and notes it, or refuses as a full disk does."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        super().__init__(path)
        self.notes = notes
        self.full = False

    async def keep(self, state: ClientState | None) -> None:
        if self.full and state is not None:
            raise OSError(28, "No space left on device")
        await super().keep(state)
        self.notes.append("erase state" if state is None else f"keep {state.epoch}")


class NotingTunnel:
    """Notes what it is opened with."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes
        self.opened = asyncio.Event()

    async def open(self, order: OpenTunnel) -> None:
        self.notes.append(f"open_tunnel {order.addresses[0]}")
        self.opened.set()


class NotingReporter:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def happened(self, event: Event) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Memory:
    """An outbox that keeps everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, events: Sequence[Event]) -> None:
        self.events.extend(events)


@dataclass(kw_only=True)
class Bench:
    """A running client, and what a test does to it."""

    core: ClientCore
    driver: ClientDriver
    plane: NotingPlane
    keeper: NotingKeeper
    reporter: NotingReporter
    events: Memory
    found: "asyncio.Queue[Discovery]"
    running: "asyncio.Task[Finish | None]"
    state_path: Path
    offered: list[tuple[str, ...]]
    history: History
    notes: list[str] = field(default_factory=list)

    async def give(self, *given: Fact | Discovery) -> None:
        """Let the driver take these inputs, and wait until it is done with them."""
        for each in given:
            before = self.driver.tally.inputs
            if type(each) in FACT_TYPES:
                self.plane.queue.put_nowait(each)  # type: ignore[arg-type]
            else:
                self.found.put_nowait(each)  # type: ignore[arg-type]
            await until(lambda before=before: self.driver.tally.inputs > before)  # type: ignore[misc]
            await self.driver.idle()

    async def be_born(self) -> None:
        """Let the client find one path and be granted a session."""
        await self.give(CandidateAppeared(interface="wlan0", endpoint=ENDPOINT))
        await self.give(HandshakeDone(path=1, session_id=session_id(1)))
        await self.give(MessageReceived(number=0, epoch=0, message=encode(grant())))

    def take_notes(self) -> list[str]:
        """Return what was noted since the last time."""
        taken = list(self.notes)
        self.notes.clear()
        return taken

    @property
    def state(self) -> ClientState | None:
        """What a restart would find."""
        return load(self.state_path)


FACT_TYPES = frozenset(Fact.__args__)  # type: ignore[attr-defined]


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Bench]:
    """Run a client with its state file in this directory for as long as the context lasts."""
    notes: list[str] = []
    clock, plane, events = Clock(), NotingPlane(notes), Memory()
    path = directory / "session.state"
    keeper, reporter = NotingKeeper(path, notes), NotingReporter()
    found: asyncio.Queue[Discovery] = asyncio.Queue()
    offered: list[tuple[str, ...]] = []
    history = History(now=clock.now())
    core = ClientCore(
        ClientSettings(
            name="laptop",
            version="test",
            public_key=bytes(32),
            origin=Origin(node_id="laptop", reveal_addresses=True),
            requested=Policy(),
            handshake_timeout=Millis(60_000),
        )
    )
    driver = ClientDriver(
        core=core,
        plane=plane,
        orders=Orders(plane, mark=0),
        tunnel=NotingTunnel(notes),
        keeper=keeper,
        clock=clock,
        reporter=reporter,
        events=events,
        history=history,
        offer=offered.append,
    )
    async with Crew() as crew:
        task = crew.hire("driver", driver.run(load(path), _stream(found)))
        await driver.idle()
        yield Bench(
            core=core,
            driver=driver,
            plane=plane,
            keeper=keeper,
            reporter=reporter,
            events=events,
            found=found,
            running=task,
            state_path=path,
            offered=offered,
            history=history,
            notes=notes,
        )
    keeper.close()


async def _stream(found: "asyncio.Queue[Discovery]") -> AsyncIterator[Discovery]:
    while True:
        yield await found.get()


def grant() -> m.Envelope:
    """Return the gateway's HANDSHAKE_ACK."""
    return m.Envelope(
        session_id=session_id(1),
        state_version=1,
        binding_epoch=1,
        ts_ms=Clock().wall_ms(),
        sequence=1 << 32,
        payload=m.HandshakeAck(
            client_name="laptop",
            owner=1,
            policy={},
            policy_version=1,
            policy_hash=bytes.fromhex(Policy().hash()),
            addresses=("10.77.0.2",),
            routes=("10.77.0.0/24",),
            dns=(),
            mtu=1420,
            endpoints=(ENDPOINT,),
            lookup_ids=tuple(bytes([number]) * 16 for number in range(1, 9)),
        ),
    )


def acceptance(bench: Bench, *, token: int, path: int) -> ResponseOpened:
    """Return the gateway's REATTACH_ACK of the newest attempt."""
    attempt, _ = bench.plane.requests[-1]
    view = bench.core.view
    assert view is not None
    version = view.session.version + 2
    moves = (
        m.SeenMove(version - 1, "ATTACHED", "RECOVERING", "LINK_DOWN", Clock().wall_ms()),
        m.SeenMove(version, "RECOVERING", "ATTACHED", "REATTACH_SUCCESS", Clock().wall_ms()),
    )
    envelope = m.Envelope(
        session_id=session_id(1),
        state_version=version,
        binding_epoch=view.session.epoch + 1,
        ts_ms=Clock().wall_ms(),
        sequence=(1 << 32) + 10 * attempt,
        payload=m.ReattachAck(owner=1, moves=moves),
    )
    return ResponseOpened(token=token, path=path, attempt=attempt, message=encode(envelope))
