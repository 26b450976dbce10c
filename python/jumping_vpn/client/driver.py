"""The client's driver: facts, finds of discovery and time in; orders out, one after another.

There is one session, so there is one line: an input is handled when everything that the one before
it asked for is done. Finds of discovery and commands are never dropped; facts wait in the data
plane's own bounded queue.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from jumping_vpn.client.history import History
from jumping_vpn.client.orders import Orders
from jumping_vpn.client.plane import Plane
from jumping_vpn.client.state import StateKeeper
from jumping_vpn.core.client import ClientCore
from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.commands import CandidateGone, Discovery, Stop
from jumping_vpn.core.events import Event
from jumping_vpn.core.facts import Fact
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.ready import Activate, Bind, Finish, Keep, OpenPath, OpenTunnel, Ready
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.service.alarms import Alarms
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.crew import Crew
from jumping_vpn.service.fence import keep_fence
from jumping_vpn.service.log import Outbox
from jumping_vpn.service.report import Reporter

BATCH: Final = 64
WAITING_MAX: Final = 1024
WATCHED_MAX: Final = 256
ENTROPY: Final = 64
ALONE: Final = 0


class Chore(StrEnum):
    """What is due without an input."""

    WAKE = "WAKE"


Input: TypeAlias = Fact | Discovery | Chore
Offer: TypeAlias = Callable[[tuple[str, ...]], None]
"""Tells discovery the ways to reach the gateway that the gateway itself names."""


class Tunnel(Protocol):
    """The tunnel's interface on this machine: addresses, routes, rules, DNS."""

    async def open(self, order: OpenTunnel) -> None:
        """Make it so; nothing to do where it is so already."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the driver counts."""

    inputs: int = 0
    orders_failed: int = 0
    states_kept: int = 0
    states_kept_us: int = 0
    states_unkept: int = 0


class ClientDriver:
    """Performs what the client's role decides."""

    def __init__(  # noqa: PLR0913  its parts
        self,
        *,
        core: ClientCore,
        plane: Plane,
        orders: Orders,
        tunnel: Tunnel,
        keeper: StateKeeper,
        clock: Clock,
        reporter: Reporter,
        events: Outbox,
        history: History,
        offer: Offer,
    ) -> None:
        self.tally = Tally()
        self._core = core
        self._plane = plane
        self._orders = orders
        self._tunnel = tunnel
        self._keeper = keeper
        self._clock = clock
        self._reporter = reporter
        self._events = events
        self._inputs: asyncio.Queue[Input] = asyncio.Queue(WAITING_MAX)
        self._failed: deque[CandidateGone] = deque()
        self._alarms = Alarms()
        self._watchers: list[asyncio.Queue[Event]] = []
        self._history = history
        self._offer = offer
        self._endpoints: tuple[str, ...] = ()
        self._idle = asyncio.Event()
        self._finish: Finish | None = None
        self._over: asyncio.Future[Finish] = asyncio.get_running_loop().create_future()

    async def run(
        self, state: ClientState | None, discovery: AsyncIterator[Discovery]
    ) -> Finish | None:
        """Serve until the session ends, and say how; None when only the process is to stop."""
        async with Crew() as crew:
            crew.hire("fence", keep_fence(self._plane, self._clock))
            crew.hire("facts", self._read_facts())
            crew.hire("discovery", self._read(discovery))
            crew.hire("alarms", self._alarms.run(self._clock, self._wake))
            crew.hire("state", self._keeper.run())
            await self._serve(state)
        return self._finish

    async def order(self, command: Discovery) -> None:
        """Queue a command of the person at the machine."""
        await self._inputs.put(command)

    async def idle(self) -> None:
        """Wait until no input waits or is under way."""
        await self._idle.wait()

    async def finished(self) -> Finish:
        """Wait until the session is over, and return how it ended."""
        return await asyncio.shield(self._over)

    @contextmanager
    def watching(self) -> Iterator[asyncio.Queue[Event]]:
        """Have a queue of the events from here on; what does not fit is left out."""
        watcher: asyncio.Queue[Event] = asyncio.Queue(WATCHED_MAX)
        self._watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)

    async def _serve(self, state: ClientState | None) -> None:
        now, wall_ms, entropy = self._instant()
        await self._perform(self._core.start(state, now=now, wall_ms=wall_ms, entropy=entropy))
        while self._finish is None:
            if not self._failed and self._inputs.empty():
                self._idle.set()
            given = self._failed.popleft() if self._failed else await self._inputs.get()
            self._idle.clear()
            self.tally.inputs += 1
            await self._perform(self._decide(given))
            if isinstance(given, Stop):
                return

    def _decide(self, given: Input) -> Ready:
        now, wall_ms, entropy = self._instant()
        if isinstance(given, Chore):
            return self._core.wake(now=now, wall_ms=wall_ms, entropy=entropy)
        return self._core.handle(given, now=now, wall_ms=wall_ms, entropy=entropy)

    async def _perform(self, ready: Ready) -> None:
        """Work in field order; if one step fails, the later ones do not happen."""
        follow: Ready | None = None
        try:
            ready = self._derived(ready)
            self._alarms.set(ALONE, ready.wake_at)
            if isinstance(ready.save, Keep):
                await self._keep(ready.save)
            for order in ready.bind:
                follow = await self._bind(order) or follow
            for message in ready.send:
                self._orders.send(message)
            self._tell(ready.observe)
        except LookupError as error:
            # What the order named is gone from the data plane; the role's timers ask again.
            self.tally.orders_failed += 1
            self._reporter.warn(str(error))
        view = self._core.view
        if view is not None and view.endpoints != self._endpoints:
            self._endpoints = view.endpoints
            self._offer(view.endpoints)
        if follow is not None:
            await self._perform(follow)

    def _derived(self, ready: Ready) -> Ready:
        if ready.derive is None:
            return ready
        derived = self._orders.derive(ready.derive)
        now, wall_ms, entropy = self._instant()
        return self._core.derived(ready.derive, derived, now=now, wall_ms=wall_ms, entropy=entropy)

    async def _keep(self, keep: Keep) -> None:
        """Make the state durable before anything else happens.

        Where the disk refuses, the session goes on without a state file: what must not happen is
        that a later run continues from an old one, and that is why the old one is erased.
        """
        if keep.lazy and keep.state is not None:
            self._keeper.keep_lazily(keep.state)
            return
        began = time.monotonic_ns()
        try:
            await self._keeper.keep(keep.state)
            self.tally.states_kept += 1
            self.tally.states_kept_us += (time.monotonic_ns() - began) // 1000
        except OSError as error:
            self.tally.states_unkept += 1
            self._reporter.warn(f"the session will not survive a restart of the client: {error}")
            await self._keeper.keep(None)

    async def _bind(self, order: Bind) -> Ready | None:
        match order:
            case Activate():
                figures = self._orders.activate(order)
                now, wall_ms, entropy = self._instant()
                return self._core.activated(figures, now=now, wall_ms=wall_ms, entropy=entropy)
            case OpenTunnel():
                await self._tunnel.open(order)
            case OpenPath():
                self._open_path(order)
            case Finish():
                self._finish = order
                self._over.set_result(order)
            case _:
                self._orders.bind(order)
        return None

    def _open_path(self, order: OpenPath) -> None:
        try:
            self._orders.bind(order)
        except OSError as error:
            self._reporter.warn(f"{order.interface} to {order.endpoint}: {error}")
            self._failed.append(
                CandidateGone(
                    interface=order.interface,
                    endpoint=order.endpoint,
                    cause=Reason.SOCKET_ERROR,
                )
            )

    def _tell(self, events: Sequence[Event]) -> None:
        if events:
            self._events.append(events)
        for event in events:
            self._history.note(event, self._core.transport, now=self._clock.now())
            self._reporter.happened(event)
            for watcher in self._watchers:
                if not watcher.full():
                    watcher.put_nowait(event)

    async def _read_facts(self) -> None:
        while True:
            for fact in await self._plane.facts(BATCH):
                await self._inputs.put(fact)

    async def _read(self, discovery: AsyncIterator[Discovery]) -> None:
        async for find in discovery:
            await self._inputs.put(find)

    async def _wake(self, _: int) -> None:
        await self._inputs.put(Chore.WAKE)

    def _instant(self) -> tuple[Millis, int, bytes]:
        clock = self._clock
        return clock.now(), clock.wall_ms(), clock.entropy(ENTROPY)
