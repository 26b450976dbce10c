"""Virtual time: what happens next, in order, and nothing in between."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Final

US_PER_MS: Final = 1_000
US_PER_SECOND: Final = 1_000_000


class Calendar:
    """The world's one clock, in microseconds, and what is entered for later."""

    def __init__(self) -> None:
        self.now = 0
        self._entries: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: int, happen: Callable[[], None]) -> None:
        """Enter what happens then; what is entered for one instant happens in its order."""
        heapq.heappush(self._entries, (max(when, self.now), next(self._order), happen))

    def after(self, span: int, happen: Callable[[], None]) -> None:
        """Enter what happens after so many microseconds."""
        self.at(self.now + span, happen)

    def run(self, until: int) -> None:
        """Let happen what is entered up to and including that instant."""
        while self._entries and self._entries[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._entries)
            happen()
        self.now = until
