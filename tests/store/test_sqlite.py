import asyncio
import shutil
import sqlite3
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs
from msgspec.structs import replace

from jumping_vpn.core.event_data import DroppedData
from jumping_vpn.core.events import EventType
from jumping_vpn.core.ids import StateVersion
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.store.contract import (
    CorruptRecord,
    Lapse,
    OutcomeUnknown,
    StoreCorrupted,
    StoreRefused,
    StoreTooNew,
    StoreUnavailable,
    Unreadable,
)
from jumping_vpn.store.schema import MIGRATIONS, connect, prepare
from jumping_vpn.store.sqlite import SqliteStore
from jumping_vpn.store.watchers import Watchers
from store.conformance import Conformance, created
from store.opening import Doubtful, connect_doubtfully, opened
from support.loops import Opened
from support.saves import birth, jump, observation, session_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


class TestSqliteStore(Conformance):
    @pytest.fixture
    def store(self, path: Path) -> Opened:
        return Opened(partial(opened, path))


async def test_everything_is_there_after_opening_again(path: Path) -> None:
    async with opened(path) as store:
        record = await created(store)
        save = jump(record)
        await store.save(save)
        store.append([observation(1)])
        events = await store.events_after(0, 10)
        incarnation = await store.start_node(save.record.session.owner)

    async with opened(path) as store:
        assert await store.all_live() == (save.record,)
        assert (await store.events_after(0, 10))[:2] == events
        assert store.newest_seq == 3
        assert await store.start_node(save.record.session.owner) == incarnation + 1


async def test_only_the_owner_may_touch_its_files(path: Path) -> None:
    async with opened(path) as store:
        await created(store)
        modes = {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}

    assert modes == {0o600}


async def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    path.chmod(0o644)

    with pytest.raises(StoreRefused, match="chmod 600"):
        await SqliteStore.open(path)


async def test_a_large_group_is_written_whole(path: Path) -> None:
    births = [birth(seed) for seed in range(1500)]

    async with opened(path) as store:
        numbers = await asyncio.gather(*(store.create(each) for each in births))
        records = [
            replace(save.record, number=number)
            for save, number in zip(births, numbers, strict=True)
        ]
        await asyncio.gather(*(store.save(jump(each)) for each in records))

        assert sorted(numbers) == list(range(1, 1501))
        assert await store.all_live() == tuple(jump(each).record for each in records)
        assert store.newest_seq == 3000


async def test_what_the_turns_of_a_busy_loop_bring_shares_one_commit(path: Path) -> None:
    statements: list[str] = []

    def listening(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(statements.append)
        return connection

    async def after_turns(turns: int, seed: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await store.create(birth(seed))

    async with opened(path, listening) as store:
        await asyncio.gather(*(after_turns(turn, turn) for turn in range(16)))

        assert statements.count("COMMIT") == 1


async def test_a_version_of_64_bits_is_kept(path: Path) -> None:
    save = birth(1)
    far = StateVersion(2**64 - 3)
    session = replace(save.record.session, version=far)
    old = structs.replace(
        save,
        record=replace(save.record, session=session),
        expected_version=StateVersion(far - 1),
    )

    async with opened(path) as store:
        number = await store.create(old)
        record = replace(old.record, number=number)
        await store.save(jump(record))

        found = await store.get(session_id(1))
        assert found is not None
        assert found.session.version == far + 1


# Damage.


def damaged(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE sessions SET format = 9 WHERE number = 2", "newer"),
        ("UPDATE sessions SET checksum = checksum + 1 WHERE number = 2", "checksum"),
        ("UPDATE sessions SET record = x'00' WHERE number = 2", "checksum"),
        ("UPDATE sessions SET version = 77 WHERE number = 2", "does not fit its row"),
    ],
)
async def test_a_record_that_cannot_be_read_costs_its_own_session_only(
    path: Path, statement: str, why: str
) -> None:
    async with opened(path) as store:
        one, _, three = [await created(store, seed) for seed in (1, 2, 3)]
    damaged(path, statement)

    async with opened(path) as store:
        live = await store.all_live()
        with pytest.raises(CorruptRecord, match=why) as refused:
            await store.get(session_id(2))
        with pytest.raises(CorruptRecord):
            await store.get_by_number(refused.value.number)
        assert await store.delete(session_id(2), [observation(1)])

        assert live[0] == one
        assert isinstance(live[1], Unreadable)
        assert (live[1].session_id, live[1].number) == (session_id(2), 2)
        assert live[2] == three
        assert await store.all_live() == (one, three)


@pytest.mark.parametrize(
    "event", ["x'00'", "x'ff'", "x'7b7d'", "x'0a'", "x'0a0a'", "substr(event, 1, 40)"]
)
async def test_an_event_that_cannot_be_read_is_told_as_lost_in_its_place(
    path: Path, event: str
) -> None:
    async with opened(path) as store:
        await created(store)
        store.append([observation(seed) for seed in range(2, 5)])
    damaged(path, f"UPDATE outbox SET event = {event} WHERE seq = 2")  # noqa: S608

    async with opened(path) as store:
        events = await store.events_after(0, 10)

    assert [each.node_seq for each in events] == [1, 2, 3, 4]
    assert events[1].event_type is EventType.EVENTS_DROPPED
    assert events[1].reason_code is Reason.EVENT_DAMAGED
    assert events[1].node_id == events[0].node_id
    data = events[1].data
    assert isinstance(data, DroppedData)
    assert (data.first, data.last, data.count) == (2, 2, 1)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scramble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(255 - each for each in content[4096:])
    path.write_bytes(content)


def replace_by_another(path: Path) -> None:
    path.unlink()
    damaged(path, "CREATE TABLE other (x)")
    path.chmod(0o600)


@pytest.mark.parametrize("damage", [empty, overwrite, cut, scramble, replace_by_another])
async def test_a_damaged_file_is_refused_by_name_and_left_alone(
    path: Path, damage: Callable[[Path], None]
) -> None:
    async with opened(path) as store:
        await asyncio.gather(*(created(store, seed) for seed in range(50)))
    damage(path)
    before = path.read_bytes()

    with pytest.raises(StoreCorrupted, match=str(path)):
        await SqliteStore.open(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", [overwrite, cut, scramble])
@pytest.mark.parametrize("beside", [("-wal",), ("-wal", "-shm")])
async def test_a_damaged_file_beside_its_log_is_refused_and_nothing_is_added_or_removed(
    path: Path, tmp_path: Path, damage: Callable[[Path], None], beside: tuple[str, ...]
) -> None:
    copy = tmp_path / "copy" / "sessions.db"
    copy.parent.mkdir()
    names = {f"sessions.db{end}" for end in ("", *beside)}
    async with opened(path) as store:
        await asyncio.gather(*(created(store, seed) for seed in range(50)))
        for name in names:
            shutil.copy(path.with_name(name), copy.with_name(name))
    damage(copy)
    before = [copy.with_name(f"sessions.db{end}").read_bytes() for end in ("", "-wal")]

    with pytest.raises(StoreCorrupted, match=str(copy)):
        await SqliteStore.open(copy)

    assert {each.name for each in copy.parent.iterdir()} == names
    after = [copy.with_name(f"sessions.db{end}").read_bytes() for end in ("", "-wal")]
    assert after == before


async def test_a_damaged_file_keeps_what_its_log_has(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "sessions.db"
    copy.parent.mkdir()
    async with opened(path) as store:
        await asyncio.gather(*(created(store, seed) for seed in range(50)))
        for name in ("sessions.db", "sessions.db-wal"):
            shutil.copy(path.with_name(name), copy.with_name(name))
    overwrite(copy)
    before = copy.with_name("sessions.db-wal").read_bytes()

    with pytest.raises(StoreCorrupted, match=str(copy)):
        await SqliteStore.open(copy)

    assert copy.with_name("sessions.db-wal").read_bytes() == before


async def test_a_log_without_its_file_is_refused(path: Path) -> None:
    path.with_name("sessions.db-wal").write_bytes(b"something")

    with pytest.raises(StoreCorrupted, match="is missing"):
        await SqliteStore.open(path)

    assert not path.exists()


async def test_an_interrupted_making_is_begun_again(path: Path) -> None:
    path.with_name("sessions.db.new").write_bytes(b"half")

    async with opened(path) as store:
        await created(store)


# Versions of the schema.


def test_an_older_file_is_migrated_at_the_start(path: Path) -> None:
    prepare(path)
    damaged(path, "INSERT INTO nodes (node, incarnation) VALUES (1, 5)")

    prepare(path, [*MIGRATIONS, "ALTER TABLE nodes ADD COLUMN place TEXT"])

    connection = connect(path)
    assert connection.execute("SELECT incarnation, place FROM nodes").fetchall() == [(5, None)]
    connection.close()
    with pytest.raises(StoreTooNew, match=f"version 2 is newer than {len(MIGRATIONS)}"):
        prepare(path)


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    prepare(path)

    with pytest.raises(StoreUnavailable):
        prepare(path, [*MIGRATIONS, "CREATE TABLE half (x); ALTER TABLE nobody ADD COLUMN y"])

    prepare(path)
    connection = connect(path)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert "half" not in names


# Outcomes that nobody knows.


@pytest.mark.parametrize("commits_first", [True, False])
async def test_an_unknown_outcome_is_told_and_can_be_read_back(
    path: Path, commits_first: bool
) -> None:
    store = await SqliteStore.open(path, open_connection=connect_doubtfully)
    record = await created(store)
    save = jump(record)
    Doubtful.commits_first, Doubtful.armed = commits_first, True

    with pytest.raises(OutcomeUnknown):
        await store.save(save)
    found = await store.get(session_id(1))

    assert found == (save.record if commits_first else record)
    assert found is not None
    await store.save(jump(found))
    await store.close()


async def test_a_slow_watcher_is_told_that_it_missed_something() -> None:
    watchers = Watchers(unread_max=2)

    async with watchers.watch() as changes:
        watchers.tell([Lapse()] * 3)
        heard = await anext(changes)

    assert heard == Lapse()
    assert not watchers
