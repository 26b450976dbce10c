"""A disk that is full, for real: a small file system in memory, mounted for the test."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jumping_vpn.store.contract import StoreUnavailable
from jumping_vpn.store.sqlite import SqliteStore
from store.conformance import created
from support.saves import birth, jump, observation

pytestmark = pytest.mark.root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", tmp_path], check=True
    )
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


async def test_a_full_disk_refuses_writes_and_loses_nothing(small_disk: Path) -> None:
    path = small_disk / "sessions.db"
    store = await SqliteStore.open(path)
    records = {}
    for seed in range(40):
        record = await created(store, seed)
        records[record.session.session_id] = record
    ballast = fill(small_disk)

    refused = 0
    for seed in range(40, 400):
        try:
            record = await created(store, seed)
        except StoreUnavailable:
            refused += 1
        else:
            records[record.session.session_id] = record
    store.append([observation(1)])
    for session_id, record in list(records.items()):
        save = jump(record)
        try:
            await store.save(save)
        except StoreUnavailable:
            refused += 1
        else:
            records[session_id] = save.record

    assert refused > 0
    assert {each.session.session_id: each for each in await store.all_live()} == records

    ballast.unlink()
    await asyncio.gather(*(store.create(birth(seed)) for seed in range(500, 510)))
    await store.close()
    store = await SqliteStore.open(path)
    live = {each.session.session_id: each for each in await store.all_live()}
    assert {each: live[each] for each in records} == records
    assert len(live) == len(records) + 10
    await store.close()


async def test_a_disk_that_is_full_at_the_start_is_told_and_no_file_is_left(
    small_disk: Path,
) -> None:
    ballast = fill(small_disk)

    with pytest.raises(StoreUnavailable):
        await SqliteStore.open(small_disk / "sessions.db")

    assert not (small_disk / "sessions.db").exists()
    ballast.unlink()
    store = await SqliteStore.open(small_disk / "sessions.db")
    await store.close()


def fill(disk: Path) -> Path:
    """Take what is free, and return the file that takes it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                continue
        except OSError:
            pass
    return ballast
