"""Random histories: SQLite, memory and a model of a few lines must agree about everything."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from jumping_vpn.core.ids import Attempt, SessionId
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.model import State
from jumping_vpn.store.contract import StoreError
from jumping_vpn.store.memory import MemoryStore
from jumping_vpn.store.sqlite import SqliteStore
from support.saves import birth, end, jump, loss_and_return, observation, session_id, takeover

SEEDS = st.integers(0, 4)
MOVES = st.sampled_from([jump, loss_and_return, end, lambda record: takeover(record, owner=2)])


class Histories(RuleBasedStateMachine):
    """The model: the newest record of each session, every record ever seen, the events told."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "sessions.db"
        self.sqlite = self.run(SqliteStore.open(self.path))
        self.memory = self.run(make_memory())
        self.newest: dict[SessionId, Record] = {}
        self.seen: list[Record] = []
        self.told: list[str] = []
        self.number = 0

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def both(self, call: Callable[[Any], Awaitable[object]]) -> object:
        """Ask both stores and return what they agree on."""
        answers = []
        for store in (self.sqlite, self.memory):
            try:
                answers.append(self.run(asyncio.wait_for(call(store), 20)))
            except StoreError as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1]
        return answers[0]

    def kept(self, save: Save, record: Record) -> None:
        self.newest[record.session.session_id] = record
        self.seen.append(record)
        self.told += [each.event_id for each in save.events]

    @rule(seed=SEEDS)
    def create(self, seed: int) -> None:
        save = birth(seed)
        answer = self.both(lambda store: store.create(save))
        if save.record.session.session_id in self.newest:
            assert isinstance(answer, tuple)
        else:
            self.number += 1
            assert answer == self.number
            self.kept(save, replace(save.record, number=answer))

    @rule(move=MOVES, data=st.data())
    def save(self, move: Callable[[Record], Save], data: st.DataObject) -> None:
        movable = [each for each in self.seen if each.session.state is State.ATTACHED]
        if not movable:
            return
        save = move(data.draw(st.sampled_from(movable[-8:])))
        found = self.newest.get(save.record.session.session_id)
        answer = self.both(lambda store: store.save(save))
        if answer is None:
            assert found is not None
            assert found.session.version == save.expected_version
            assert found.session.ownership_epoch == save.expected_ownership_epoch
            self.kept(save, replace(save.record, number=found.number))
        else:
            assert found is None or (
                found.session.version != save.expected_version
                or found.session.ownership_epoch != save.expected_ownership_epoch
            )

    @rule(seed=SEEDS, floor=st.integers(0, 2**63), lazy=st.booleans())
    def touch(self, seed: int, floor: int, lazy: bool) -> None:
        record = self.newest.get(session_id(seed))
        if record is None:
            return
        touched = replace(record, attempt_floor=Attempt(floor))
        self.both(lambda store: touch(store, touched, lazy=lazy))
        self.newest[session_id(seed)] = touched

    @rule(seed=SEEDS)
    def delete(self, seed: int) -> None:
        event = observation(seed)
        answer = self.both(lambda store: store.delete(session_id(seed), [event]))
        assert answer == (self.newest.pop(session_id(seed), None) is not None)
        if answer:
            self.told.append(event.event_id)

    @rule(ordinal=st.integers(0, 9))
    def append(self, ordinal: int) -> None:
        event = observation(ordinal)
        self.both(lambda store: append(store, event))
        self.told.append(event.event_id)

    @rule()
    def reopen(self) -> None:
        self.run(self.sqlite.close())
        self.sqlite = self.run(SqliteStore.open(self.path))

    @invariant()
    def all_agree(self) -> None:
        for seed in range(5):
            assert self.both(lambda store, seed=seed: store.get(session_id(seed))) == (
                self.newest.get(session_id(seed))
            )
        live = [each for each in self.newest.values() if each.session.state is State.ATTACHED]
        self.both(lambda store: store.all_live())
        assert self.both(lambda store: store.scan_expired(2**60)) is not None
        answer = self.both(lambda store: store.events_after(0, 10_000))
        assert isinstance(answer, tuple)
        assert [each.event_id for each in answer] == self.told
        assert len(live) <= len(self.newest)

    def teardown(self) -> None:
        self.run(self.sqlite.close())
        self.runner.close()
        self.directory.cleanup()


async def make_memory() -> MemoryStore:
    return MemoryStore()


async def touch(store: Any, record: Record, *, lazy: bool) -> None:
    if lazy:
        store.touch_lazily(record)
        record = replace(record)
    await store.touch(record)


async def append(store: Any, event: Any) -> None:
    before = store.newest_seq
    store.append([event])
    await store.wait_beyond(before)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
