"""The embedded store: one SQLite file, one thread that writes it, one that reads it.

The loop never waits for the disk. What is written lazily rides along: observations with the next
write, after a short linger alone; a touch with the next save of its session, which holds what it
says, and alone after a longer one.

The caller holds an exclusive lock on the directory: two processes must not have the file at once.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct, structs

from jumping_vpn.core.events import Event, decode_event
from jumping_vpn.core.ids import NodeId, SessionId, SessionNumber
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record
from jumping_vpn.store import reading
from jumping_vpn.store.contract import (
    OBSERVATIONS_MAX,
    Change,
    Lease,
    StoreError,
    StoreUnavailable,
    Unreadable,
)
from jumping_vpn.store.judgement import check_save, touching
from jumping_vpn.store.ledger import (
    Acknowledge,
    Committed,
    GrantLease,
    Note,
    Order,
    Remove,
    Settle,
    StartNode,
    Touches,
    encoded_events,
    put,
)
from jumping_vpn.store.schema import connect, connect_read_only, prepare
from jumping_vpn.store.watchers import Watchers
from jumping_vpn.store.writer import Connect, Writer

T = TypeVar("T")

LINGER_S: Final = 0.05
"""How long observations wait for company."""
TOUCH_LINGER_S: Final = 1.0
"""How long a touch waits for a save of its session, and for the end of a storm of saves."""
TOUCHES_MAX: Final = 128
"""Touches handed over in one turn of the loop, so that no request waits long for them."""
TOUCHES_PAUSE_S: Final = 0.01
"""The pause before the next turn where there are more."""
RETRY_S: Final = 1.0
"""How long it waits after a commit that failed."""
BACKLOG_MAX: Final = 1_000_000
"""Events no exporter has fetched. Beyond it observations are dropped; moves never are."""


class _Touched(Struct, frozen=True):
    """A record that is to be touched, and until when a save of its session may do it."""

    record: Record
    due: float


class SqliteStore:
    """The contract, kept by one file. Make it with `open`, in the loop that uses it."""

    def __init__(self, path: Path, *, open_connection: Connect = connect) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._observations: list[bytes] = []
        self._observations_under_way = 0
        self._dropped = 0
        self._touched: dict[SessionId, _Touched] = {}
        self._note_later: asyncio.TimerHandle | None = None
        self._touch_later: asyncio.TimerHandle | None = None
        self._newest_seq = 0
        self._pruned_seq = 0
        self._grown = asyncio.Event()
        self._watchers = Watchers()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._reading: sqlite3.Connection | None = None
        self._closed = False
        self._writer = Writer(path, open_connection, self._committed)

    @classmethod
    async def open(cls, path: Path, *, open_connection: Connect = connect) -> "SqliteStore":
        """Return the store in this file, made or migrated if need be, or raise StoreRefused."""
        await asyncio.to_thread(prepare, path)
        store = cls(path, open_connection=open_connection)
        try:
            store._newest_seq, store._pruned_seq = await store._read(reading.read_extent)
        except BaseException:
            await store.close()
            raise
        return store

    async def create(self, save: Save) -> SessionNumber:
        """Write a session that is new, and return the number issued to it."""
        check_save(save)
        return SessionNumber(await self._put(save))

    async def save(self, save: Save) -> None:
        """Replace a session's record if its version and ownership epoch are the expected ones."""
        check_save(save)
        session_id = save.record.session.session_id
        touched = self._touched.pop(session_id, None)
        try:
            await self._put(save)
        except StoreError:
            if touched is not None:
                self._touched.setdefault(session_id, touched)
                self._touch_at(touched.due)
            raise

    async def touch(self, record: Record) -> None:
        """Replace what no move guards, if version and ownership epoch are still the record's."""
        await self.save(touching(record))

    def touch_lazily(self, record: Record) -> None:
        """Touch when convenient; only the newest of a session is written."""
        waiting = self._touched.get(record.session.session_id)
        due = self._loop.time() + TOUCH_LINGER_S if waiting is None else waiting.due
        self._touched[record.session.session_id] = _Touched(record, due)
        self._touch_at(due)

    async def delete(self, session_id: SessionId, events: Sequence[Event] = ()) -> bool:
        """Remove a session, readable or not, with the events that say so."""
        self._touched.pop(session_id, None)
        return bool(await self._write(Remove(session_id, encoded_events(events))))

    async def get(self, session_id: SessionId) -> Record | None:
        """Return the newest acknowledged record."""
        return await self._read_sessions(reading.read_session, session_id)

    async def get_by_number(self, number: SessionNumber) -> Record | None:
        """Return the record of the session with this number; None: it is gone."""
        return await self._read_sessions(reading.read_number, number)

    async def all_live(self) -> tuple[Record | Unreadable, ...]:
        """Return every session that has not ended, by number."""
        return await self._read_sessions(reading.read_live)

    async def scan_expired(self, wall_ms: int) -> tuple[SessionId, ...]:
        """Return sessions whose end is past by this wall clock, and those that have ended."""
        return await self._read_sessions(reading.read_expired, wall_ms)

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Tell of every change that is committed after entering the context."""
        return self._watchers.watch()

    async def start_node(self, node: NodeId) -> int:
        """Return this start's incarnation."""
        return int(await self._write(StartNode(node)))

    async def lease(self, node: NodeId, incarnation: int, *, term_ms: int) -> None:
        """Grant or renew the node's lease; refused once a newer incarnation has started."""
        ends = time.time_ns() // 1_000_000 + term_ms
        await self._write(GrantLease(node, incarnation, ends))

    async def leases(self) -> tuple[Lease, ...]:
        """Return what was leased, by node, ended or not."""
        return await self._read(reading.read_leases)

    def append(self, events: Sequence[Event]) -> None:
        """Take observations to be written with a later commit, as far as there is room."""
        room = OBSERVATIONS_MAX - len(self._observations) - self._observations_under_way
        if self._newest_seq - self._pruned_seq > BACKLOG_MAX:
            room = 0
        self._observations += encoded_events(events[: max(0, room)])
        self._dropped += max(0, len(events) - max(0, room))
        self._note_within(LINGER_S)

    @property
    def newest_seq(self) -> int:
        """The number of the newest committed event; 0: there was none."""
        return self._newest_seq

    @property
    def observations_dropped(self) -> int:
        """How many observations found no room and were dropped since the start."""
        return self._dropped

    async def events_after(self, seq: int, limit: int) -> tuple[Event, ...]:
        """Return committed events in order, numbered, from the first after `seq` still kept."""
        first, lines = await self.lines_after(seq, limit)
        return tuple(
            structs.replace(decode_event(line), node_seq=number)
            for number, line in enumerate(lines, start=first)
        )

    async def lines_after(self, seq: int, limit: int) -> tuple[int, Sequence[bytes]]:
        """Return the number of the first event after `seq` still kept, and it and more, encoded."""
        return await self._read(reading.read_events, seq, limit)

    async def wait_beyond(self, seq: int) -> int:
        """Return the number of the newest event, as soon as it is larger than `seq`."""
        while self._newest_seq <= seq:
            self._grown.clear()
            await self._grown.wait()
        return self._newest_seq

    async def export_cursor(self, name: str) -> tuple[int, str]:
        """Return how far an exporter has come: the last event's number and hash."""
        return await self._read(reading.read_cursor, name)

    async def acknowledge(self, name: str, seq: int, digest: str) -> None:
        """Record how far an exporter has come; what every exporter has, is pruned."""
        await self._write(Acknowledge(name, seq, digest))
        self._newest_seq, self._pruned_seq = await self._read(reading.read_extent)

    async def close(self) -> None:
        """Write what still waits, and let go of the file."""
        if self._closed:
            return
        self._note()
        self._touch_all()
        self._closed = True
        for timer in (self._note_later, self._touch_later):
            if timer is not None:
                timer.cancel()
        # The last to let go folds the log into the file, which only the writer can.
        await self._loop.run_in_executor(self._reader, self._close_reading)
        self._reader.shutdown()
        await self._writer.close()

    # Writing.

    async def _write(self, order: Order) -> Any:  # noqa: ANN401  each order has its own answer
        self._note()
        return await self._writer.submit(order)

    async def _put(self, save: Save) -> Any:  # noqa: ANN401  a create's number
        """Write a save, and with it the observations that wait."""
        noted, self._observations = self._observations, []
        self._observations_under_way += len(noted)
        try:
            return await self._writer.submit(put(save, tuple(noted)))
        except StoreUnavailable:
            self._take_back(noted)
            raise
        finally:
            self._observations_under_way -= len(noted)

    def _committed(self, group: Committed) -> None:
        if group.last_seq is not None:
            self._newest_seq = group.last_seq
            self._grown.set()
        self._watchers.tell(group.changes)

    # Observations.

    def _note_within(self, delay_s: float) -> None:
        if self._note_later is None and not self._closed:
            # Not taken back when a write takes the observations along: a timer costs more than a
            # look at an empty list.
            self._note_later = self._loop.call_later(delay_s, self._note_lately)

    def _note_lately(self) -> None:
        self._note_later = None
        self._note()

    def _note(self) -> None:
        """Hand over what was observed, in front of what is submitted next."""
        if self._observations:
            events, self._observations = self._observations, []
            self._observations_under_way += len(events)
            self._hand_over(Note(tuple(events)), partial(self._take_back, events))

    def _take_back(self, events: list[bytes]) -> None:
        # After a commit of unknown outcome an observation may be told twice; it is never lost.
        self._observations[:0] = events
        self._note_within(RETRY_S)

    # Touches.

    def _touch_at(self, due: float) -> None:
        if self._touch_later is None and not self._closed:
            self._touch_later = self._loop.call_at(due, self._touch_some)

    def _touch_some(self) -> None:
        """Hand over the touches that have waited long enough, a few in one turn of the loop."""
        self._touch_later = None
        now = self._loop.time()
        due = [each for each in islice(self._touched.values(), TOUCHES_MAX) if each.due <= now]
        self._touch(due)
        if self._touched:
            first = next(iter(self._touched.values())).due
            self._touch_at(max(first, now + TOUCHES_PAUSE_S))

    def _touch_all(self) -> None:
        self._touch(list(self._touched.values()))

    def _touch(self, touched: Sequence["_Touched"]) -> None:
        if not touched:
            return
        for each in touched:
            del self._touched[each.record.session.session_id]
        puts = tuple(put(touching(each.record)) for each in touched)
        self._hand_over(Touches(puts), partial(self._retouch, touched))

    def _retouch(self, touched: Sequence["_Touched"]) -> None:
        due = self._loop.time() + RETRY_S
        for each in touched:
            waiting = _Touched(each.record, due)
            self._touched.setdefault(each.record.session.session_id, waiting)
        self._touch_at(due)

    def _hand_over(self, order: Order, unwritten: Callable[[], None]) -> None:
        try:
            answer = self._writer.submit(order)
        except StoreUnavailable:
            unwritten()
            return
        answer.add_done_callback(lambda done: self._settle_lazy(order, done, unwritten))

    def _settle_lazy(
        self, order: Order, done: "asyncio.Future[Any]", unwritten: Callable[[], None]
    ) -> None:
        if isinstance(order, Note):
            self._observations_under_way -= len(order.events)
        if not done.cancelled() and isinstance(done.exception(), StoreUnavailable):
            unwritten()

    # Reading.

    async def _read_sessions(self, read: Callable[..., T], *args: object) -> T:
        """Read records, with what touches say that still wait."""
        if self._touched:
            self._touch_all()
            await self._write(Settle())
        return await self._read(read, *args)

    async def _read(self, read: Callable[..., T], *args: object) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._writer.doubtful:
            await self._write(Settle())
        return await self._loop.run_in_executor(self._reader, self._read_blocking, read, args)

    def _read_blocking(self, read: Callable[..., T], args: tuple[object, ...]) -> T:
        try:
            if self._reading is None:
                self._reading = connect_read_only(self._path)
            return read(self._reading, *args)
        except sqlite3.Error as error:
            self._close_reading()
            raise StoreUnavailable(f"{self._path}: {error}") from error

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None
