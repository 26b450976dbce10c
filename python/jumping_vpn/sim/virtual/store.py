"""The store of a simulated gateway: durable memory behind a disk that is slow, full, or forgetful.

What a process has not written dies with it: lazy touches and observations wait here for a commit.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, TypeVar

from jumping_vpn.core.events import Event
from jumping_vpn.core.ids import NodeId, SessionId, SessionNumber
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record
from jumping_vpn.sim.virtual.scenario import Doom
from jumping_vpn.store.contract import (
    Change,
    Lease,
    OutcomeUnknown,
    StoreUnavailable,
    Unreadable,
)
from jumping_vpn.store.judgement import touching
from jumping_vpn.store.memory import MemoryStore

T = TypeVar("T")
LAZY_SECONDS: Final = 1.0
NOT_DONE: Final = 0.5
"""The share of writes without an answer that were not done."""
UNAVAILABLE: Final = "the store cannot be reached"


@dataclass(slots=True)
class StoreWeather:
    """How the store does now; shares are of one. All processes of all gateways see the same."""

    latency_us: int = 300
    jitter_us: int = 200
    full: bool = False
    unreachable: bool = False
    acknowledgements_lost: float = 0.0
    doom: Doom = Doom.NONE


class Witness:
    """Sees each write at the instant at which it is durable."""

    def created(self, save: Save, number: SessionNumber) -> None:
        """See a session that is new."""

    def saved(self, save: Save) -> None:
        """See a session that moved."""

    def touched(self, record: Record) -> None:
        """See a record that changed without a move."""

    def appended(self, events: Sequence[Event]) -> None:
        """See observations."""

    def landmark(self, name: str) -> None:
        """See that something interesting happened."""


class ShakyStore:
    """What one process has of the store; the contract is `store.contract.Store`."""

    def __init__(
        self,
        durable: MemoryStore,
        weather: StoreWeather,
        witness: Witness,
        chance: random.Random,
        die: Callable[[], None],
    ) -> None:
        self.alive = True
        self._durable = durable
        self._weather = weather
        self._witness = witness
        self._chance = chance
        self._die = die
        self._lazy: dict[SessionId, Record] = {}
        self._observed: list[Event] = []

    async def create(self, save: Save) -> SessionNumber:
        """Write a session that is new."""

        async def write() -> SessionNumber:
            number = await self._durable.create(save)
            self._witness.created(save, number)
            return number

        return await self._write(write)

    async def save(self, save: Save) -> None:
        """Replace a session's record, as the contract says."""

        async def write() -> None:
            await self._durable.save(save)
            self._witness.saved(save)

        await self._write(write)

    async def touch(self, record: Record) -> None:
        """Replace what no move guards."""

        async def write() -> None:
            await self._durable.touch(record)
            self._witness.touched(record)

        await self._write(write)

    def touch_lazily(self, record: Record) -> None:
        """Touch when convenient."""
        self._lazy[record.session.session_id] = record

    async def get(self, session_id: SessionId) -> Record | None:
        """Return the newest acknowledged record."""
        await self._read()
        return await self._durable.get(session_id)

    async def get_by_number(self, number: SessionNumber) -> Record | None:
        """Return the record of the session with this number."""
        await self._read()
        return await self._durable.get_by_number(number)

    async def delete(self, session_id: SessionId, events: Sequence[Event] = ()) -> bool:
        """Remove a session."""
        return await self._write(lambda: self._durable.delete(session_id, events))

    async def all_live(self) -> tuple[Record | Unreadable, ...]:
        """Return every session that has not ended."""
        await self._read()
        return await self._durable.all_live()

    async def scan_expired(self, wall_ms: int) -> tuple[SessionId, ...]:
        """Return sessions whose end is past."""
        await self._read()
        return await self._durable.scan_expired(wall_ms)

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Tell of every change."""
        return self._durable.watch()

    async def start_node(self, node: NodeId) -> int:
        """Return this start's incarnation."""
        return await self._durable.start_node(node)

    async def lease(self, node: NodeId, incarnation: int, *, term_ms: int) -> None:
        """Grant or renew the node's lease."""
        await self._write(lambda: self._durable.lease(node, incarnation, term_ms=term_ms))

    async def leases(self) -> tuple[Lease, ...]:
        """Return what was leased."""
        return await self._durable.leases()

    def append(self, events: Sequence[Event]) -> None:
        """Take observations to be written with a later commit."""
        self._observed += events

    @property
    def newest_seq(self) -> int:
        """The number of the newest committed event."""
        return self._durable.newest_seq

    @property
    def observations_dropped(self) -> int:
        """Nothing is dropped here."""
        return 0

    async def events_after(self, seq: int, limit: int) -> tuple[Event, ...]:
        """Return committed events."""
        return await self._durable.events_after(seq, limit)

    async def lines_after(self, seq: int, limit: int) -> tuple[int, Sequence[bytes]]:
        """Return the same, encoded."""
        return await self._durable.lines_after(seq, limit)

    async def wait_beyond(self, seq: int) -> int:
        """Return the number of the newest event, as soon as it is larger than `seq`."""
        return await self._durable.wait_beyond(seq)

    async def export_cursor(self, name: str) -> tuple[int, str]:
        """Return how far an exporter has come."""
        return await self._durable.export_cursor(name)

    async def acknowledge(self, name: str, seq: int, digest: str) -> None:
        """Record how far an exporter has come."""
        await self._durable.acknowledge(name, seq, digest)

    async def close(self) -> None:
        """Let go; the durable store stays."""

    async def keep_lazy(self) -> None:
        """Write what waits for a convenient moment, for ever."""
        while True:
            await asyncio.sleep(LAZY_SECONDS)
            if self._healthy():
                await self._flush()

    async def _read(self) -> None:
        """Reach the disk; what touches say that still wait must be written before anyone reads."""
        await asyncio.sleep(self._latency())
        if self._weather.unreachable or (self._lazy and not self._healthy()):
            raise StoreUnavailable(UNAVAILABLE)
        await self._flush()

    async def _write(self, write: Callable[[], Awaitable[T]]) -> T:
        """Reach the disk, be written or not, and come back with the answer, or without."""
        await asyncio.sleep(self._latency())
        weather = self._weather
        if not self._healthy():
            raise StoreUnavailable("the disk is full" if weather.full else UNAVAILABLE)
        lost = weather.acknowledgements_lost and (
            self._chance.random() < weather.acknowledgements_lost
        )
        if lost and self._chance.random() < NOT_DONE:
            self._witness.landmark("store: a write was neither done nor acknowledged")
            raise OutcomeUnknown("the connection broke, and the write was not done")
        await self._flush()
        await self._die_if_doomed(Doom.BEFORE)
        result = await write()
        await self._die_if_doomed(Doom.AFTER)
        await asyncio.sleep(self._latency())
        if lost:
            self._witness.landmark("store: a write was done and not acknowledged")
            raise OutcomeUnknown("the connection broke, and the write was done")
        return result

    async def _die_if_doomed(self, here: Doom) -> None:
        """Let the process die at this very place, if that is its fate."""
        if self._weather.doom is here:
            self._weather.doom = Doom.NONE
            self._witness.landmark(f"store: a process dies {here.name} its write")
            self._die()
            await asyncio.get_running_loop().create_future()

    async def _flush(self) -> None:
        """Commit what waits along with a write."""
        lazy, self._lazy = self._lazy, {}
        for record in lazy.values():
            if await self._is_newest(record):
                await self._durable.touch(record)
                self._witness.touched(record)
        if self._observed and self._healthy():
            self._durable.append(self._observed)
            self._witness.appended(self._observed)
            self._observed = []

    async def _is_newest(self, record: Record) -> bool:
        stored = await self._durable.get(record.session.session_id)
        return stored is not None and not _refuses(stored, touching(record))

    def _healthy(self) -> bool:
        return self.alive and not self._weather.full and not self._weather.unreachable

    def _latency(self) -> float:
        jitter = self._weather.jitter_us
        return (self._weather.latency_us + (self._chance.randrange(jitter) if jitter else 0)) / 2e6


def _refuses(stored: Record, touch: Save) -> bool:
    found = stored.session.version, stored.session.ownership_epoch
    return found != (touch.expected_version, touch.expected_ownership_epoch)
