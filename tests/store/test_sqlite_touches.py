"""What SQLite writes only when it is convenient: with the next save, in bulk, or at the end."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from jumping_vpn.core.ids import Attempt
from jumping_vpn.store import sqlite
from jumping_vpn.store.contract import OutcomeUnknown
from jumping_vpn.store.sqlite import SqliteStore
from store.conformance import created
from store.opening import Doubtful, connect_doubtfully, opened
from support.saves import birth, jump, observation, session_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


async def test_the_save_that_follows_a_touch_of_its_session_makes_it_needless(path: Path) -> None:
    async with opened(path) as store:
        record = await created(store)
        touched = replace(record, attempt_floor=Attempt(9))
        async with store.watch() as changes:
            store.touch_lazily(touched)
            await store.save(jump(touched))
            await store.create(birth(2))

            versions = [(await anext(changes)).version for _ in range(2)]

    assert versions == [2, 1]


async def test_a_touch_of_a_session_that_rests_is_written_by_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "TOUCH_LINGER_S", 0.0)
    monkeypatch.setattr(sqlite, "TOUCHES_MAX", 1)
    async with opened(path) as store:
        records = [await created(store, seed) for seed in (1, 2)]
        async with store.watch() as changes:
            for record in records:
                store.touch_lazily(replace(record, attempt_floor=Attempt(9)))

            written = [(await anext(changes)).session_id for _ in records]

    assert written == [session_id(1), session_id(2)]


async def test_a_touch_outlives_the_save_that_could_not_be_made(path: Path) -> None:
    store = await SqliteStore.open(path, open_connection=connect_doubtfully)
    record = await created(store)
    touched = replace(record, attempt_floor=Attempt(9))
    store.touch_lazily(touched)
    Doubtful.commits_first, Doubtful.armed = False, True

    with pytest.raises(OutcomeUnknown):
        await store.save(jump(touched))

    assert await store.get(session_id(1)) == touched
    await store.close()


async def test_what_waits_is_written_before_the_file_is_closed(path: Path) -> None:
    async with opened(path) as store:
        touched = replace(await created(store), attempt_floor=Attempt(9))
        store.touch_lazily(touched)
        store.append([observation(1)])

    async with opened(path) as store:
        assert await store.all_live() == (touched,)
        assert store.newest_seq == 2
