"""Who wants to be told of changes: one bounded queue each, and a lapse where it overflowed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

from jumping_vpn.store.contract import WATCH_MAX, Change, Lapse


class Watcher:
    """One reader of changes, in the loop that it was made in."""

    def __init__(self, unread_max: int) -> None:
        self._unread: deque[Change] = deque()
        self._unread_max = unread_max
        self._news = asyncio.Event()

    def tell(self, change: Change) -> None:
        """Add a change; where there is no room, one lapse stands for all that is unread."""
        if len(self._unread) >= self._unread_max:
            self._unread.clear()
            change = Lapse()
        self._unread.append(change)
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Change]:
        """Return itself."""
        return self

    async def __anext__(self) -> Change:
        """Return the oldest unread change, as soon as there is one."""
        while not self._unread:
            self._news.clear()
            await self._news.wait()
        return self._unread.popleft()


class Watchers:
    """All readers of one store's changes."""

    def __init__(self, unread_max: int = WATCH_MAX) -> None:
        self._unread_max = unread_max
        self._watchers: list[Watcher] = []

    def __bool__(self) -> bool:
        """Say whether anybody watches."""
        return bool(self._watchers)

    def tell(self, changes: Iterable[Change]) -> None:
        """Tell everybody."""
        for change in changes:
            for each in self._watchers:
                each.tell(change)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Change]]:
        """Tell of changes from here to the end of the context."""
        with self._joined() as watcher:
            yield watcher

    @contextmanager
    def _joined(self) -> Iterator[Watcher]:
        watcher = Watcher(self._unread_max)
        self._watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
