"""The store that forgets everything with its process: for tests, and for trying things out."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice

import msgspec
from msgspec.structs import replace

from jumping_vpn.core.events import Event, encode_event
from jumping_vpn.core.ids import NodeId, SessionId, SessionNumber
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record, ends_wall_ms
from jumping_vpn.core.session.model import State
from jumping_vpn.store.contract import (
    Change,
    Changed,
    Deleted,
    Lease,
    LeaseRefused,
    StoreUnavailable,
    Unreadable,
)
from jumping_vpn.store.judgement import Head, check_save, refusal, touching
from jumping_vpn.store.watchers import Watchers


class MemoryStore:
    """The contract without the disk. Its outbox keeps at most `events_max`, the newest."""

    def __init__(self, *, events_max: int = 65_536) -> None:
        self._records: dict[SessionId, Record] = {}
        self._numbers: dict[SessionNumber, SessionId] = {}
        self._number = 0
        self._outbox: deque[Event] = deque(maxlen=events_max)
        self._newest_seq = 0
        self._cursors: dict[str, tuple[int, str]] = {}
        self._incarnations: dict[NodeId, int] = {}
        self._leases: dict[NodeId, Lease] = {}
        self._grown = asyncio.Event()
        self._watchers = Watchers()
        self._closed = False

    async def create(self, save: Save) -> SessionNumber:
        """Write a session that is new, and return the number issued to it."""
        return self._put(save)

    async def save(self, save: Save) -> None:
        """Replace a session's record if its version and ownership epoch are the expected ones."""
        self._put(save)

    async def touch(self, record: Record) -> None:
        """Replace what no move guards, if version and ownership epoch are still the record's."""
        self._put(touching(record))

    def touch_lazily(self, record: Record) -> None:
        """Touch at once: nothing is gained by waiting here."""
        save = touching(record)
        if not self._closed and refusal(save, self._head(record.session.session_id)) is None:
            self._put(save)

    async def get(self, session_id: SessionId) -> Record | None:
        """Return the newest acknowledged record."""
        self._ensure_open()
        return self._records.get(session_id)

    async def get_by_number(self, number: SessionNumber) -> Record | None:
        """Return the record of the session with this number; None: it is gone."""
        self._ensure_open()
        session_id = self._numbers.get(number)
        return None if session_id is None else self._records[session_id]

    async def delete(self, session_id: SessionId, events: Sequence[Event] = ()) -> bool:
        """Remove a session with the events that say so."""
        self._ensure_open()
        record = self._records.pop(session_id, None)
        if record is None:
            return False
        del self._numbers[record.number]
        self._add(events)
        self._watchers.tell((Deleted(session_id=session_id, number=record.number),))
        return True

    async def all_live(self) -> tuple[Record | Unreadable, ...]:
        """Return every session that has not ended, by number."""
        self._ensure_open()
        live = (each for each in self._records.values() if not _ended(each))
        return tuple(sorted(live, key=lambda each: each.number))

    async def scan_expired(self, wall_ms: int) -> tuple[SessionId, ...]:
        """Return sessions whose end is past by this wall clock, and those that have ended."""
        self._ensure_open()
        ends = (
            (0 if _ended(each) else ends_wall_ms(each), each.number, session_id)
            for session_id, each in self._records.items()
        )
        found = sorted(
            (at, number, session_id)
            for at, number, session_id in ends
            if at is not None and at <= wall_ms
        )
        return tuple(session_id for _, _, session_id in found)

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Tell of every change that is committed after entering the context."""
        return self._watchers.watch()

    async def start_node(self, node: NodeId) -> int:
        """Return this start's incarnation."""
        self._ensure_open()
        self._incarnations[node] = self._incarnations.get(node, 0) + 1
        return self._incarnations[node]

    async def lease(self, node: NodeId, incarnation: int, *, term_ms: int) -> None:
        """Grant or renew the node's lease; refused once a newer incarnation has started."""
        self._ensure_open()
        found = self._incarnations.get(node, 0)
        if found != incarnation:
            raise LeaseRefused(node, incarnation=incarnation, found=found)
        ends = time.time_ns() // 1_000_000 + term_ms
        self._leases[node] = Lease(node=node, incarnation=incarnation, ends_wall_ms=ends)

    async def leases(self) -> tuple[Lease, ...]:
        """Return what was leased, by node, ended or not."""
        self._ensure_open()
        return tuple(self._leases[node] for node in sorted(self._leases))

    def append(self, events: Sequence[Event]) -> None:
        """Take observations."""
        if not self._closed:
            self._add(events)

    @property
    def newest_seq(self) -> int:
        """The number of the newest committed event; 0: there was none."""
        return self._newest_seq

    @property
    def observations_dropped(self) -> int:
        """Nothing is dropped before it is numbered."""
        return 0

    async def events_after(self, seq: int, limit: int) -> tuple[Event, ...]:
        """Return committed events in order, numbered, from the first after `seq` still kept."""
        self._ensure_open()
        pruned = self._newest_seq - len(self._outbox)
        start = max(0, seq - pruned)
        return tuple(islice(self._outbox, start, start + limit))

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

    async def export_cursor(self, name: str) -> tuple[int, str]:
        """Return how far an exporter has come: the last event's number and hash."""
        self._ensure_open()
        return self._cursors.get(name, (0, ""))

    async def acknowledge(self, name: str, seq: int, digest: str) -> None:
        """Record how far an exporter has come; what every exporter has, is pruned."""
        self._ensure_open()
        if seq >= self._cursors.get(name, (0, ""))[0]:
            self._cursors[name] = (seq, digest)
        fetched = min(at for at, _ in self._cursors.values())
        while self._outbox and self._outbox[0].node_seq <= fetched:
            self._outbox.popleft()

    async def close(self) -> None:
        """Refuse everything from here on."""
        self._closed = True

    def _put(self, save: Save) -> SessionNumber:
        self._ensure_open()
        check_save(save)
        record, session = save.record, save.record.session
        head = self._head(session.session_id)
        refused = refusal(save, head)
        if refused is not None:
            raise refused
        if head is None:
            self._number += 1
        number = SessionNumber(self._number) if head is None else head.number
        self._records[session.session_id] = replace(record, number=number)
        self._numbers[number] = session.session_id
        self._add(save.events)
        changed = Changed(
            session_id=session.session_id,
            number=number,
            version=session.version,
            owner=session.owner,
            ownership_epoch=session.ownership_epoch,
        )
        self._watchers.tell((changed,))
        return number

    def _head(self, session_id: SessionId) -> Head | None:
        record = self._records.get(session_id)
        if record is None:
            return None
        session = record.session
        return Head(
            number=record.number, version=session.version, ownership_epoch=session.ownership_epoch
        )

    def _add(self, events: Sequence[Event]) -> None:
        for event in events:
            self._newest_seq += 1
            self._outbox.append(msgspec.structs.replace(event, node_seq=self._newest_seq))
        if events:
            self._grown.set()

    def _ensure_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")


def _ended(record: Record) -> bool:
    return record.session.state is State.TERMINATED
