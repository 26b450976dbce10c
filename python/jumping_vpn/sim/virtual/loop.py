"""An event loop in virtual time: asyncio's tasks and timers, and no descriptor.

The loop of a process runs when the world says so, until nothing in it is ready. What it would give
to a thread happens at once, or later, or fails, as the disk of its machine does.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from functools import partial
from itertools import count
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CALLS_MAX: Final = 100_000
"""More calls than that without the clock moving on are a loop without an end."""

RESOLUTION: Final = 1e-6
"""The clock has microseconds: a timer within the one that has begun is due."""


class EndlessLoop(Exception):
    """A process works on and on, and time stands still."""


class Disk(Protocol):
    """What becomes of work that blocks."""

    def perform(self, work: Callable[[], T], done: "asyncio.Future[T]") -> None:
        """Do the work when its time comes, and settle the future."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop of one process."""

    def __init__(self, seconds: Callable[[], float], disk: Disk) -> None:
        super().__init__()
        self.failures: list[str] = []
        self._seconds = seconds
        self._disk = disk
        self._soon: deque[asyncio.Handle] = deque()
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = count()

    def time(self) -> float:
        """Return the clock of this loop."""
        return self._seconds()

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call it in this turn."""
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call it when the clock shows this."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._later, (when, next(self._order), handle))
        return handle

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """Give blocking work to the disk."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        self._disk.perform(partial(func, *args) if args else func, done)
        return done

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody caught: the world reports it."""
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def next_at(self) -> float | None:
        """Return when the next timer is due."""
        while self._later and self._later[0][2].cancelled():
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def run_ready(self) -> bool:
        """Call what is ready or due until nothing is; return whether there was anything."""
        now, calls = self.time() + RESOLUTION, 0
        while self._later and self._later[0][0] <= now:
            self._soon.append(heapq.heappop(self._later)[2])
        if not self._soon:
            return False
        asyncio._set_running_loop(self)  # noqa: SLF001  documented for makers of loops
        try:
            while self._soon:
                handle = self._soon.popleft()
                if not handle.cancelled():
                    handle._run()  # noqa: SLF001  what every loop does with its handles
                calls += 1
                if calls > CALLS_MAX:
                    raise EndlessLoop(f"{calls} calls at {now}")
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001
        return True
