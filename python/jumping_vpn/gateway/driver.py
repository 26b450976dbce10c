"""The gateway's driver: facts in, orders out.

Facts of one session are handled in order, those of different sessions side by side, so that the
store can commit their records together. A record in memory is a copy of the one in the store: every
write compares the version, and a refused one is handled again on the record that the store holds.

What waits is bounded. Beyond the bound, requests that a client repeats anyway are forgotten and
counted; everything else waits in the data plane's own queue.
"""

import asyncio
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core.commands import Command
from jumping_vpn.core.facts import (
    BirthProven,
    Fact,
    FactsDropped,
    FenceClosed,
    ForgeriesCounted,
    ReattachRequested,
    SessionWanted,
)
from jumping_vpn.core.gateway import GatewayCore
from jumping_vpn.core.ids import SessionId, SessionNumber
from jumping_vpn.core.ready import NOTHING, RETRIES_MAX, Keep, Ready, Save, SaveFailure, Touch
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.model import State
from jumping_vpn.gateway.lanes import Lanes
from jumping_vpn.gateway.orders import Orders
from jumping_vpn.gateway.plane import Plane
from jumping_vpn.service.alarms import Alarms
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.crew import Crew
from jumping_vpn.service.fence import keep_fence
from jumping_vpn.service.log import NodeLog
from jumping_vpn.store.contract import (
    OutcomeUnknown,
    OwnershipConflict,
    SaveRefused,
    Store,
    StoreError,
    StoreUnavailable,
)

WORKERS: Final = 128
WAITING_MAX: Final = 8192
REQUESTS_MAX: Final = 2048
BATCH: Final = 256
ENTROPY: Final = 16
REWRITING_MAX: Final = WORKERS // 4
REWRITING_AFTER_SECONDS: Final = 0.1
REWRITING_PAUSE: Final = 3
"""How long rewriting rests, in times of what it took: clients have the rest of the processor."""
CLEARING_PERIOD_SECONDS: Final = 60.0


class Wake(Struct, frozen=True, kw_only=True):
    """Something is due for the session."""

    done: asyncio.Future[None] | None = None


class Ordered(Struct, frozen=True, kw_only=True):
    """An operator's command, and whom to tell that it is done."""

    command: Command
    done: asyncio.Future[None]


Item: TypeAlias = Fact | Wake | Ordered


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the driver counts."""

    facts: int = 0
    requests_forgotten: int = 0
    orders_failed: int = 0
    saves: int = 0
    saves_us: int = 0
    saves_conflicting: int = 0
    saves_failed: int = 0


class GatewayDriver:
    """Performs what the gateway's role decides, for all sessions of a node."""

    def __init__(  # noqa: PLR0913  its six parts
        self,
        *,
        core: GatewayCore,
        plane: Plane,
        orders: Orders,
        store: Store,
        log: NodeLog,
        clock: Clock,
    ) -> None:
        self.tally = Tally()
        self._core = core
        self._plane = plane
        self._orders = orders
        self._store = store
        self._log = log
        self._clock = clock
        self._records: dict[SessionNumber, Record] = {}
        self._numbers: dict[SessionId, SessionNumber] = {}
        self._inherited: dict[SessionNumber, None] = {}
        self._lanes: Lanes[Item] = Lanes(self._work, workers=WORKERS, waiting_max=WAITING_MAX)
        self._alarms = Alarms()
        self._intake = asyncio.Event()
        self._intake.set()

    @property
    def records(self) -> Collection[Record]:
        """The sessions that this node holds."""
        return self._records.values()

    def hold(self, record: Record) -> None:
        """Take over a session that an earlier process left in the store."""
        self._orders.install(record)
        self._remember(record)
        self._inherited[record.number] = None

    async def run(self) -> None:
        """Serve for ever."""
        async with Crew() as crew:
            crew.hire("fence", keep_fence(self._plane, self._clock))
            crew.hire("lanes", self._lanes.run())
            crew.hire("alarms", self._alarms.run(self._clock, self._wake))
            crew.hire("inheritance", self._rewrite_inherited())
            crew.hire("clearing", self._clear_ended())
            await self._read()

    async def order(self, number: SessionNumber, command: Command) -> None:
        """Carry out an operator's command in its turn."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lanes.add(number, Ordered(command=command, done=done))
        await done

    async def settle(self) -> None:
        """Take nothing more in, and wait until everything that was is done."""
        self._intake.clear()
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until nothing that was taken in waits or is under way."""
        await self._lanes.idle()

    async def _read(self) -> None:
        while True:
            await self._intake.wait()
            await self._lanes.room()
            for fact in await self._plane.facts(BATCH):
                self._take(fact)

    def _take(self, fact: Fact) -> None:
        self.tally.facts += 1
        if isinstance(fact, ReattachRequested | SessionWanted):
            if self._lanes.waiting >= REQUESTS_MAX:
                self.tally.requests_forgotten += 1
                self._plane.forget(fact.token)
                return
            key = fact.number
        elif isinstance(fact, BirthProven):
            key = -1 - fact.birth
        elif isinstance(fact, ForgeriesCounted | FactsDropped | FenceClosed):
            self._log.hear(fact)
            return
        else:
            key = getattr(fact, "number", 0)
        self._lanes.add(key, fact)

    async def _work(self, key: int, item: Item) -> None:
        number = SessionNumber(key)
        try:
            await self._serve(number, item)
        except LookupError:
            # What the order named is gone from the data plane: its client asks again.
            self.tally.orders_failed += 1
        if isinstance(item, Wake | Ordered) and item.done is not None and not item.done.done():
            item.done.set_result(None)

    async def _serve(self, number: SessionNumber, item: Item) -> None:
        if isinstance(item, BirthProven):
            number = self._numbers.get(SessionId(item.session_id), number)
        for tries_left in reversed(range(RETRIES_MAX + 1)):
            ready = self._derived(self._decide(number, item))
            if ready.read_again and tries_left:
                await self._read_again(number)
                continue
            failure, created = await self._save(number, ready.save)
            if failure is SaveFailure.CONCURRENT_UPDATE and tries_left:
                if await self._read_again(number):
                    continue
                failure = SaveFailure.STORE_UNAVAILABLE
            if failure is not None:
                ready = self._unsaved(ready, failure)
                await self._save(number, ready.save)
            self._finish(ready, created)
            return

    def _decide(self, number: SessionNumber, item: Item) -> Ready:
        record = self._records.get(number)
        now, wall_ms = self._clock.now(), self._clock.wall_ms()
        entropy = self._clock.entropy(ENTROPY)
        if not isinstance(item, Wake | Ordered):
            return self._core.handle(item, record, now=now, wall_ms=wall_ms, entropy=entropy)
        if record is None:
            return NOTHING
        if isinstance(item, Wake):
            return self._core.wake(record, now=now, wall_ms=wall_ms, entropy=entropy)
        return self._core.command(item.command, record, now=now, wall_ms=wall_ms, entropy=entropy)

    def _derived(self, ready: Ready) -> Ready:
        if ready.derive is None:
            return ready
        return self._core.derived(
            ready.derive,
            self._orders.derive(ready.derive),
            now=self._clock.now(),
            wall_ms=self._clock.wall_ms(),
            entropy=self._clock.entropy(ENTROPY),
        )

    def _unsaved(self, ready: Ready, failure: SaveFailure) -> Ready:
        self.tally.saves_failed += 1
        if isinstance(ready.save, Save) and ready.save.create:
            self._orders.release_addresses(ready.save.record)
        return self._core.unsaved(
            ready,
            failure,
            now=self._clock.now(),
            wall_ms=self._clock.wall_ms(),
            entropy=self._clock.entropy(ENTROPY),
        )

    async def _save(
        self, number: SessionNumber, save: Save | Touch | Keep | None
    ) -> tuple[SaveFailure | None, SessionNumber]:
        """Make it durable, then take it over into memory; return why not, and the number."""
        if save is None:
            return None, number
        if isinstance(save, Touch) and save.lazy:
            self._store.touch_lazily(save.record)
            self._records[number] = save.record
            return None, number
        began = time.monotonic_ns()
        try:
            record = await self._write(save)
        except StoreError as error:
            if isinstance(save, Touch) and isinstance(error, OutcomeUnknown):
                # No version tells whether it was done, and what only rises may not be taken back.
                self._remember(save.record)
            return self._failure(error), number
        self.tally.saves += 1
        self.tally.saves_us += (time.monotonic_ns() - began) // 1000
        self._remember(record)
        return None, record.number

    def _remember(self, record: Record) -> None:
        self._records[record.number] = record
        self._numbers[record.session.session_id] = record.number
        self._inherited.pop(record.number, None)

    async def _write(self, save: Save | Touch | Keep) -> Record:
        match save:
            case Save():
                try:
                    if not save.create:
                        await self._store.save(save)
                        return save.record
                    return replace(save.record, number=await self._store.create(save))
                except OutcomeUnknown:
                    return await self._read_back(save.record)
            case Touch():
                await self._store.touch(save.record)
                return save.record
            case Keep():
                raise TypeError("a state file is a client's")

    def _failure(self, error: StoreError) -> SaveFailure:
        match error:
            case OwnershipConflict():
                return SaveFailure.OWNERSHIP_CONFLICT
            case SaveRefused():
                self.tally.saves_conflicting += 1
                return SaveFailure.CONCURRENT_UPDATE
            case _:
                self._log.store_failed("save")
                return SaveFailure.STORE_UNAVAILABLE

    async def _read_back(self, meant: Record) -> Record:
        """Return the record as the store holds it if the write that ended unknown was done."""
        found = await self._store.get(meant.session.session_id)
        if found is None or _written(found) != _written(meant):
            raise StoreUnavailable("the write was not done")
        return replace(meant, number=found.number)

    async def _read_again(self, number: SessionNumber) -> bool:
        """Take the record from the store instead of memory; False where the store cannot tell."""
        try:
            record = await self._store.get_by_number(number)
        except StoreError:
            self._log.store_failed("read")
            return False
        if record is not None:
            self._records[number] = record
        elif number in self._records:
            self._part_from(self._records[number])
        return True

    def _finish(self, ready: Ready, number: SessionNumber) -> None:
        """Perform what follows the save, in the order of the fields."""
        self._alarms.set(number, ready.wake_at)
        record = self._records.get(number)
        if record is not None and record.session.state is State.TERMINATED:
            self._part_from(record)
        for order in ready.bind:
            self._orders.bind(order, created=number)
        for message in ready.send:
            self._orders.send(message, created=number)
        if ready.observe:
            self._store.append(ready.observe)

    def _part_from(self, record: Record) -> None:
        del self._records[record.number]
        del self._numbers[record.session.session_id]
        self._alarms.set(record.number, None)
        self._core.forget(record.session.session_id)

    async def _wake(self, number: int) -> None:
        await self._lanes.room()
        self._lanes.add(number, Wake())

    async def _rewrite_inherited(self) -> None:
        """Write what the restart did to each session, a few at a time: who asks goes first."""
        loop = asyncio.get_running_loop()
        inherited = iter(tuple(self._inherited))
        pause = REWRITING_AFTER_SECONDS
        while few := tuple(islice(inherited, REWRITING_MAX)):
            await asyncio.sleep(pause)
            began = loop.time()
            await self._rewrite(number for number in few if number in self._inherited)
            pause = REWRITING_PAUSE * (loop.time() - began)

    async def _rewrite(self, numbers: Iterable[SessionNumber]) -> None:
        done = []
        for number in numbers:
            done.append(asyncio.get_running_loop().create_future())
            self._lanes.add(number, Wake(done=done[-1]))
        if done:
            await asyncio.wait(done)

    async def _clear_ended(self) -> None:
        """Remove the records of sessions that are over."""
        while True:
            await asyncio.sleep(CLEARING_PERIOD_SECONDS)
            held = {record.session.session_id for record in self._records.values()}
            try:
                for session_id in await self._store.scan_expired(self._clock.wall_ms()):
                    if session_id not in held:
                        await self._store.delete(session_id)
            except StoreError:
                self._log.store_failed("clear")


def _written(record: Record) -> tuple[object, ...]:
    """Return what tells one write of a session from any other."""
    session = record.session
    return session.version, session.ownership_epoch, record.confirmed, record.unconfirmed
