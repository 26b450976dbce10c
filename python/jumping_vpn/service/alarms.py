"""One heap of wake-up times for many keys: at most one per key, the newest wish wins.

The clock counts suspend and the event loop's does not, so the sleeper looks at the clock at least
once a second.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import Final

from jumping_vpn.core.ids import Millis
from jumping_vpn.service.clock import Clock

SLEEP_SECONDS_MAX: Final = 1.0
COMPACT_FROM: Final = 1024


class Alarms:
    """Wakes keys at their times."""

    def __init__(self) -> None:
        self._heap: list[tuple[Millis, int]] = []
        self._times: dict[int, Millis] = {}
        self._earlier = asyncio.Event()

    def __len__(self) -> int:
        return len(self._times)

    def set(self, key: int, at: Millis | None) -> None:
        """Wake `key` at this time instead of any earlier wish; None wakes it no more."""
        if at is None:
            self._times.pop(key, None)
            return
        if self._times.get(key) == at:
            return
        self._times[key] = at
        if not self._heap or at < self._heap[0][0]:
            self._earlier.set()
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > COMPACT_FROM + 2 * len(self._times):
            self._heap = [(when, known) for known, when in self._times.items()]
            heapq.heapify(self._heap)

    def due(self, *, now: Millis) -> list[int]:
        """Return the keys whose time has come, earliest first; each is woken once per wish."""
        woken = []
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._times.get(key) == at:
                del self._times[key]
                woken.append(key)
        return woken

    async def run(self, clock: Clock, ring: Callable[[int], Awaitable[None]]) -> None:
        """Ring for each key at its time, for ever."""
        while True:
            self._earlier.clear()
            for key in self.due(now=clock.now()):
                await ring(key)
            try:
                async with asyncio.timeout(self._pause(now=clock.now())):
                    await self._earlier.wait()
            except TimeoutError:
                continue

    def _pause(self, *, now: Millis) -> float:
        if not self._heap:
            return SLEEP_SECONDS_MAX
        return min(SLEEP_SECONDS_MAX, max(0, self._heap[0][0] - now) / 1000)
