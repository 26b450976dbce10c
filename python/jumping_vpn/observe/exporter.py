"""Carries events from an outbox to the audit log, on a clock of its own.

The number of an event is its place in the outbox, so the last whole line of the file says exactly
how far the file has come, whatever happened to the process that wrote it. The cursor in the outbox
is saved lazily, after the file is on the disk; only what it covers may be pruned. Nothing here can
delay or fail a save: a file that cannot be written costs retries with back-off, and the outbox
keeps what the file lacks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from jumping_vpn.core.event_data import Data, DroppedData, SinkData
from jumping_vpn.core.events import EventType
from jumping_vpn.core.session.invariants import InvariantBroken
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.observe.chain import START, Head, head_of, link
from jumping_vpn.observe.jsonl import JsonlFile

T = TypeVar("T")

BATCH_MAX: Final = 512
"""Events that are read, chained and written at a time; this bounds the memory."""
UNSAVED_MAX: Final = 4096
"""Lines that may be written before the cursor is saved, however busy it is."""
GATHER_S: Final = 0.05
"""How long news gather before they are read: a batch costs more than what is in it."""
IDLE_S: Final = 1.0
"""How long nothing must happen before the cursor is saved."""
BACKOFF_S: Final = (0.1, 10.0)
"""The first and the longest pause after a failure; each is twice the one before."""


class Outbox(Protocol):
    """Who keeps events until they are exported; a store is one, `EventBuffer` another."""

    @property
    def newest_seq(self) -> int:
        """The number of the newest event; 0: there was none."""
        ...

    @property
    def observations_dropped(self) -> int:
        """How many observations were dropped since the start."""
        ...

    async def lines_after(self, seq: int, limit: int) -> tuple[int, Sequence[bytes]]:
        """Return the number of the first event that follows `seq`, and it and more, encoded."""
        ...

    async def wait_beyond(self, seq: int) -> int:
        """Return the number of the newest event, as soon as it is larger than `seq`."""
        ...

    async def export_cursor(self, name: str) -> tuple[int, str]:
        """Return the number and the hash of the last event that is safe in the file."""
        ...

    async def acknowledge(self, name: str, seq: int, digest: str) -> None:
        """Record that number and hash."""
        ...


class Announce(Protocol):
    """Makes an event of what the exporter has to tell, and appends it to the outbox."""

    def __call__(self, event_type: EventType, reason: Reason, data: Data) -> None:
        """Append the event; never waits, never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """How the export goes: for status, metrics and the deployment checklist."""

    exported: int = 0
    waiting: int = 0
    failures: int = 0
    failing: str = ""


class Exporter:
    """One sink: the JSON Lines file at `path`. Run it as a task; drain and close it afterwards.

    Each line of the file is handed to `shown` as well, which neither waits nor fails.
    """

    def __init__(  # noqa: PLR0913  what it connects, and its three paces
        self,
        outbox: Outbox,
        path: Path,
        announce: Announce,
        *,
        shown: Callable[[bytes], None] | None = None,
        name: str = "jsonl",
        gather_s: float = GATHER_S,
        idle_s: float = IDLE_S,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self._outbox = outbox
        self._file = JsonlFile(path)
        self._announce = announce
        self._shown = shown
        self._name = name
        self._gather_s = gather_s
        self._idle_s = idle_s
        self._backoff_s = backoff_s
        self._head: Head | None = None
        self._saved = START
        self._dropped_told = 0
        self._status = SinkStatus()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{name}")

    @property
    def status(self) -> SinkStatus:
        """Return how the export goes."""
        return self._status

    async def run(self) -> None:
        """Export until cancelled; a failure is counted, told and tried again."""
        pause, longest = self._backoff_s
        while True:
            if await self._attempt(self._step):
                pause = self._backoff_s[0]
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)

    async def drain(self) -> bool:
        """Export what there is; say whether all of it is in the file, durably. Not beside `run`."""
        return await self._attempt(self._export_all)

    async def close(self) -> None:
        """Close the file. Not beside `run`."""
        await self._in_worker(self._file.close)
        self._worker.shutdown()

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except InvariantBroken:
            raise
        except Exception as error:  # noqa: BLE001  whatever a sink fails with is its own affair
            self._fail(error)
            return False
        return True

    async def _step(self) -> None:
        """Export one batch or wait for news; save the cursor when it is quiet, or overdue."""
        head, count = await self._export()
        if count:
            if head.seq - self._saved.seq >= UNSAVED_MAX:
                await self._save_cursor(head)
            if count < BATCH_MAX:
                await asyncio.sleep(self._gather_s)
            return
        try:
            # Not wait_for: where news and a cancellation come together, it forgets the latter.
            async with asyncio.timeout(self._idle_s):
                await self._outbox.wait_beyond(head.seq)
        except TimeoutError:
            await self._save_cursor(head)
            await self._outbox.wait_beyond(head.seq)

    async def _export_all(self) -> None:
        head, count = await self._export()
        while count:
            head, count = await self._export()
        await self._save_cursor(head)

    async def _export(self) -> tuple[Head, int]:
        """Write the next batch; return where the file has come to, and by how many events."""
        known, self._head = self._head, None
        # Interrupted from here on, the head is unknown, and read from the file again.
        if known is None or not await self._in_worker(lambda: self._file.in_place):
            head = await self._resume(known)
        else:
            head = known
        first, events = await self._outbox.lines_after(head.seq, BATCH_MAX)
        if events:
            lines, head = await self._in_worker(partial(self._append, first, events, head))
            self._show(lines)
        self._head = head
        self._succeed(head, len(events))
        return head, len(events)

    async def _resume(self, known: Head | None) -> Head:
        """Open the file, and return the head that its next line continues."""
        seq, digest = await self._outbox.export_cursor(self._name)
        self._saved = Head(seq, digest) if seq else START
        left = await self._in_worker(self._leave)
        base = known or left or self._saved
        last = await self._in_worker(self._file.open)
        tail = None if last is None else head_of(last)
        if tail is None or tail.seq > self._outbox.newest_seq:
            # A new file, or one of another outbox: it does not say how far this one has come.
            return base
        if tail.seq >= base.seq:
            return tail
        # The file has lost lines. As long as the outbox has them they are written again.
        first, following = await self._outbox.lines_after(tail.seq, 1)
        return tail if following and first == tail.seq + 1 else base

    def _leave(self) -> Head | None:
        """Make the file that was written so far safe, and return where it has come to.

        It may be at another path by now, and an interrupted export does not know what it wrote.
        """
        with suppress(OSError):
            last = self._file.last()
            self._file.sync()
            return None if last is None else head_of(last)
        return None

    async def _save_cursor(self, head: Head) -> None:
        if head == self._saved:
            return
        await self._in_worker(self._file.sync)
        await self._outbox.acknowledge(self._name, head.seq, head.hash)
        self._saved = head

    def _append(
        self, first: int, events: Sequence[bytes], head: Head
    ) -> tuple[Sequence[bytes], Head]:
        lines = []
        for seq, event in enumerate(events, start=first):
            line, head = link(event, seq, head)
            lines.append(line)
        self._file.append(lines)
        return lines, head

    def _show(self, lines: Sequence[bytes]) -> None:
        if self._shown is not None:
            for line in lines:
                self._shown(line)

    def _succeed(self, head: Head, count: int) -> None:
        waiting = max(0, self._outbox.newest_seq - head.seq)
        failing, status = self._status.failing, self._status
        self._status = replace(
            status, exported=status.exported + count, waiting=waiting, failing=""
        )
        if failing:
            self._tell_condition(working=True)
        dropped = self._outbox.observations_dropped
        if dropped > self._dropped_told:
            self._tell_dropped(dropped)

    def _fail(self, error: Exception) -> None:
        first = not self._status.failing
        self._head = None
        self._status = replace(
            self._status, failures=self._status.failures + 1, failing=str(error) or repr(error)
        )
        if first:
            self._tell_condition(working=False)

    def _tell_condition(self, *, working: bool) -> None:
        data = SinkData(sink=self._name, working=working, waiting=self._status.waiting)
        self._announce(EventType.SINK_DEGRADED, Reason.SINK_FAILED, data)

    def _tell_dropped(self, dropped: int) -> None:
        count = dropped - self._dropped_told
        data = DroppedData(what="observations", first=0, last=0, count=count)
        self._announce(EventType.EVENTS_DROPPED, Reason.QUEUE_OVERFLOW, data)
        if self._outbox.observations_dropped == dropped:
            self._dropped_told = dropped

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)
