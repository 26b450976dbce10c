"""Work in order for each session, concurrently for different ones.

A fixed number of workers serves the lanes, one item per turn: no task is made for an item, a busy
session cannot starve a quiet one, and the number of store writes under way, which the store commits
in groups, is the number of workers.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """Queues of items by key; items of one key are never under way at the same time."""

    def __init__(
        self, work: Callable[[int, T], Awaitable[None]], *, workers: int, waiting_max: int
    ) -> None:
        self._work = work
        self._workers = workers
        self._waiting_max = waiting_max
        self._lanes: dict[int, deque[T]] = {}
        self._ready: asyncio.Queue[int] = asyncio.Queue()
        self._waiting = 0
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._room.set()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """How many items wait or are under way."""
        return self._waiting

    def add(self, key: int, item: T) -> None:
        """Queue an item behind the earlier ones of its key."""
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = deque((item,))
            self._ready.put_nowait(key)
        else:
            lane.append(item)
        self._waiting += 1
        self._idle.clear()
        if self._waiting >= self._waiting_max:
            self._room.clear()

    async def room(self) -> None:
        """Wait until fewer items wait than the bound; who adds asks first."""
        await self._room.wait()

    async def idle(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        await self._idle.wait()

    async def run(self) -> None:
        """Serve the lanes for ever."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._workers):
                workers.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            key = await self._ready.get()
            lane = self._lanes[key]
            try:
                await self._work(key, lane[0])
            finally:
                self._leave(key, lane)

    def _leave(self, key: int, lane: deque[T]) -> None:
        lane.popleft()
        if lane:
            self._ready.put_nowait(key)
        else:
            del self._lanes[key]
        self._waiting -= 1
        if self._waiting < self._waiting_max:
            self._room.set()
        if self._waiting == 0:
            self._idle.set()
