"""A simulated client: driver, role, state file and engine that ship, on a machine of the world."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Final, Protocol, TypeVar

from jumping_vpn.client.driver import ClientDriver
from jumping_vpn.client.history import History
from jumping_vpn.client.orders import Orders
from jumping_vpn.client.state import StateKeeper, load
from jumping_vpn.core.client import ClientCore, ClientSettings
from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.commands import CandidateAppeared, CandidateGone, Discovery
from jumping_vpn.core.events import Event, Origin
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Finish, OpenTunnel
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.dataplane.stepped import SteppedClientPlane
from jumping_vpn.sim.virtual.calendar import Calendar
from jumping_vpn.sim.virtual.clock import HostClock, ProcessClock
from jumping_vpn.sim.virtual.gateway import ENDPOINT
from jumping_vpn.sim.virtual.keys import key_ring
from jumping_vpn.sim.virtual.network import Network
from jumping_vpn.sim.virtual.process import Process
from jumping_vpn.sim.virtual.reporter import Deaf
from jumping_vpn.sim.virtual.scenario import Doom

T = TypeVar("T")
AGAIN_US: Final = 1_000_000
"""After that a client that could not reach its gateway, or lost its session, is started again."""


class ClientObserver(Protocol):
    """Who sees what comes out of a client."""

    def at_client(self, client: int, inner: bytes, within: bytes | None) -> None:
        """See a packet that was delivered to the client's TUN."""

    def on_event(self, client: int, event: Event) -> None:
        """See an event of the client's own log."""

    def on_finish(self, client: int, session_id: bytes | None, finish: Finish) -> None:
        """See how a run ended."""

    def on_kept(self, client: int, state: ClientState | None) -> None:
        """See what a state file says from here on."""

    def on_failure(self, who: str, failure: BaseException | None) -> None:
        """See a process that ended by itself."""


@dataclass(slots=True)
class DiskWeather:
    """How the disk of a client does now."""

    latency_us: int = 200
    full: bool = False
    doom: Doom = Doom.NONE


class MachineDisk:
    """The disk under a client's state file. Work that a process gave away dies with it."""

    def __init__(self, calendar: Calendar, weather: DiskWeather) -> None:
        self.process: Process | None = None
        self._calendar = calendar
        self._weather = weather

    def perform(self, work: Callable[[], T], done: "asyncio.Future[T]") -> None:
        """Do the work after the disk's latency."""
        process = self.process

        def happen() -> None:
            if process is not None and process.alive:
                self._settle(work, done)
                process.stir()

        self._calendar.after(self._weather.latency_us, happen)

    def _settle(self, work: Callable[[], T], done: "asyncio.Future[T]") -> None:
        if done.done():
            return
        if self._weather.full and getattr(work, "__name__", "") != "erase":
            done.set_exception(OSError(ENOSPC, "No space left on device"))
            return
        try:
            done.set_result(work())
        except OSError as error:
            done.set_exception(error)


class ObservedKeeper(StateKeeper):
    """The keeper that ships; what became durable is shown to the world."""

    def __init__(
        self,
        path: Path,
        show: Callable[[ClientState | None], None],
        die_if_doomed: Callable[[Doom], bool],
    ) -> None:
        super().__init__(path)
        self._show = show
        self._die_if_doomed = die_if_doomed

    async def keep(self, state: ClientState | None) -> None:
        """Make the state durable, or erase it; a process that is to die there goes no further."""
        if self._die_if_doomed(Doom.BEFORE):
            await asyncio.get_running_loop().create_future()
        await super().keep(state)
        self._show(state)
        if self._die_if_doomed(Doom.AFTER):
            await asyncio.get_running_loop().create_future()


class ClientHost:
    """The machine of a client: interfaces, the state file, and the person who starts it again."""

    def __init__(  # noqa: PLR0913  what a machine stands in
        self,
        number: int,
        *,
        calendar: Calendar,
        clock: HostClock,
        network: Network,
        directory: Path,
        observer: ClientObserver,
        policy: Policy,
        interfaces: tuple[str, ...],
        chance: random.Random,
    ) -> None:
        self.number = number
        self.clock = clock
        self.interfaces = interfaces
        self.disk = DiskWeather()
        self.process: Process | None = None
        self.core: ClientCore | None = None
        self.driver: ClientDriver | None = None
        self.addresses: tuple[str, ...] = ()
        self.wanted = True
        self.starts = 0
        self._calendar = calendar
        self._network = network
        self._path = directory / f"client{number}.state"
        self._observer = observer
        self._policy = policy
        self._chance = chance
        self._finds: asyncio.Queue[Discovery] = asyncio.Queue()
        self._keeper: ObservedKeeper | None = None
        self._finish: Finish | None = None
        network.clients[number] = self

    def start(self) -> None:
        """Start the process."""
        if not self.wanted or (self.process is not None and self.process.alive):
            return
        self.starts += 1
        disk = MachineDisk(self._calendar, self.disk)
        process = Process(
            f"client{self.number}.{self.starts}",
            calendar=self._calendar,
            clock=self.clock,
            disk=disk,
            outside=self,
        )
        disk.process = self.process = process
        seeds = self._chance.getrandbits(64), self._chance.getrandbits(64)
        process.run(self._serve(process, *seeds))

    def kill(self) -> None:
        """End the process without a word."""
        if self.process is not None:
            self.process.kill()
        self._let_go()

    def order(self, command: Discovery) -> None:
        """Let the person at the machine order something."""
        self._find(command)

    def link(self, interface: str, *, up: bool) -> None:
        """Let a link go or come back; the kernel tells discovery at once."""
        line = self._network.lines[self.number, interface]
        if line.up == up:
            return
        line.up = up
        self._find(
            self._appeared(interface)
            if up
            else CandidateGone(interface=interface, endpoint=None, cause=Reason.LINK_DOWN)
        )

    def arrive(self, path: int | None, remote: str, datagram: bytes) -> None:
        """Put a datagram into a socket's buffer."""
        if self.process is not None:
            self.process.arrive(path, remote, datagram)

    def send_failed(self, path: int, errno: int) -> None:
        """Tell that the kernel refused to send."""
        if self.process is not None:
            self.process.send_failed(path, errno)

    def sent(self, path: int | None, remote: str, datagram: bytes) -> None:
        """Give a datagram to the network."""
        if path is not None:
            self._network.send_up(self.number, path, remote, datagram)

    def delivered(self, inner: bytes, within: bytes | None) -> None:
        """Give an inner packet to the applications."""
        self._observer.at_client(self.number, inner, within)

    def ended(self, failure: BaseException | None) -> None:
        """Note how a run ended; whoever wants a tunnel starts it again."""
        finish = self._finish
        if failure is not None or finish is None:
            self._observer.on_failure(f"client{self.number}", failure)
        else:
            self._observer.on_finish(self.number, self._session, finish)
        self._let_go()
        self._calendar.after(AGAIN_US, self.start)

    async def open(self, order: OpenTunnel) -> None:
        """Note what the tunnel was granted."""
        self.addresses = order.addresses

    def append(self, events: Sequence[Event]) -> None:
        """Take events of the client's log."""
        for event in events:
            self._observer.on_event(self.number, event)

    async def _serve(self, process: Process, clock_seed: int, plane_seed: int) -> None:
        clock = ProcessClock(self.clock, clock_seed)
        keys = key_ring().clients[self.number]
        plane = SteppedClientPlane.seeded(
            keys, gateway_public=key_ring().gateway.public(), seed=plane_seed
        )
        plane.on_path = self._connect
        state = load(self._path)
        self._keeper = keeper = ObservedKeeper(self._path, self._show, self._die_if_doomed)
        self._finds, self._finish = asyncio.Queue(), None
        settings = ClientSettings(
            name=f"client{self.number}",
            version="simulated",
            public_key=keys.public(),
            origin=Origin(node_id=f"client{self.number}", reveal_addresses=True),
            requested=self._policy,
            handshake_timeout=Millis(10_000),
        )
        self.core = core = ClientCore(settings)
        self.driver = driver = ClientDriver(
            core=core,
            plane=plane,
            orders=Orders(plane, mark=0),
            tunnel=self,
            keeper=keeper,
            clock=clock,
            reporter=Deaf(),
            events=self,
            history=History(now=clock.now()),
            offer=lambda _: None,
        )
        process.plane = plane
        self._finish = await driver.run(state, self._discover())
        await keeper.flush()

    async def _discover(self) -> AsyncIterator[Discovery]:
        for interface in self.interfaces:
            if self._network.lines[self.number, interface].up:
                yield self._appeared(interface)
        while True:
            yield await self._finds.get()

    def _appeared(self, interface: str) -> CandidateAppeared:
        return CandidateAppeared(
            interface=interface, endpoint=ENDPOINT, preference=self.interfaces.index(interface)
        )

    def _find(self, found: Discovery) -> None:
        if self.process is not None and self.process.alive:
            self._finds.put_nowait(found)
            self.process.stir()

    def _connect(self, path: int, interface: str | None) -> None:
        self._network.connect(self.number, path, interface)

    def _show(self, state: ClientState | None) -> None:
        if state is not None:
            self._session = state.session_id
        self._observer.on_kept(self.number, state)

    def _die_if_doomed(self, here: Doom) -> bool:
        """Die at this very place, if that is the process's fate."""
        if self.disk.doom is not here:
            return False
        self.disk.doom = Doom.NONE
        self._calendar.after(0, self.kill)
        return True

    def _let_go(self) -> None:
        self._network.forget(self.number)
        self.core = self.driver = None
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    _session: bytes | None = None
