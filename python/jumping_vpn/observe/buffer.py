"""An outbox for who has no store: a client's events wait here, in memory, for their export.

What it holds is lost with the process, so it is for observations only. It continues the numbers of
the log that it is exported to; what finds no room is dropped before it has a number, and counted.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from jumping_vpn.core.events import Event, encode_event
from jumping_vpn.observe.chain import START, Head, head_of
from jumping_vpn.observe.jsonl import JsonlFile

ROOM: Final = 16_384
"""Events that may wait for their export."""


def continue_log(path: Path) -> Head:
    """Return where the log in this file stands; its start if there is none. Blocks."""
    file = JsonlFile(path)
    try:
        last = file.open()
    finally:
        file.close()
    return START if last is None else head_of(last) or START


class EventBuffer:
    """Events after `head`, numbered in the order of their coming."""

    def __init__(self, head: Head, *, room: int = ROOM) -> None:
        self._events: deque[Event] = deque()
        self._room = room
        self._newest_seq = head.seq
        self._saved = head
        self._dropped = 0
        self._grown = asyncio.Event()

    def append(self, events: Sequence[Event]) -> None:
        """Take events as far as there is room. Never waits and never raises."""
        room = max(0, self._room - len(self._events))
        for event in events[:room]:
            self._newest_seq += 1
            self._events.append(msgspec.structs.replace(event, node_seq=self._newest_seq))
        self._dropped += max(0, len(events) - room)
        self._grown.set()

    @property
    def newest_seq(self) -> int:
        """The number of the newest event; 0: there was none."""
        return self._newest_seq

    @property
    def observations_dropped(self) -> int:
        """How many events found no room."""
        return self._dropped

    async def events_after(self, seq: int, limit: int) -> tuple[Event, ...]:
        """Return the numbered events that follow `seq`."""
        start = max(0, seq - (self._newest_seq - len(self._events)))
        return tuple(islice(self._events, start, start + limit))

    async def lines_after(self, seq: int, limit: int) -> tuple[int, Sequence[bytes]]:
        """Return the number of the first event after `seq` still kept, and it and more, encoded."""
        events = await self.events_after(seq, limit)
        bare = [encode_event(msgspec.structs.replace(each, node_seq=0)) for each in events]
        return (events[0].node_seq if events else seq + 1), bare

    async def wait_beyond(self, seq: int) -> int:
        """Return the number of the newest event, as soon as it is larger than `seq`."""
        while self._newest_seq <= seq:
            self._grown.clear()
            await self._grown.wait()
        return self._newest_seq

    async def export_cursor(self, name: str) -> tuple[int, str]:  # noqa: ARG002  one sink only
        """Return where the log stands."""
        return self._saved.seq, self._saved.hash

    async def acknowledge(self, name: str, seq: int, digest: str) -> None:  # noqa: ARG002
        """Let go of what is safe in the file."""
        self._saved = Head(seq, digest)
        while self._events and self._events[0].node_seq <= seq:
            self._events.popleft()
