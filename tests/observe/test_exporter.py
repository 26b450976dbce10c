import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from jumping_vpn.core.event_data import Data, SinkData
from jumping_vpn.core.events import EventType
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.observe.audit import PART, verify
from jumping_vpn.observe.buffer import EventBuffer, continue_log
from jumping_vpn.observe.chain import START
from jumping_vpn.observe.exporter import Exporter
from jumping_vpn.store.memory import MemoryStore
from jumping_vpn.store.sqlite import SqliteStore
from support.saves import birth, jump, observation

ROOT = Path(__file__).parents[2]


class Announced(list[tuple[EventType, Reason, Data]]):
    """What an exporter had to tell."""

    def __call__(self, event_type: EventType, reason: Reason, data: Data) -> None:
        self.append((event_type, reason, data))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log" / "events.jsonl"


@pytest.fixture(autouse=True)
def directory(log: Path) -> None:
    log.parent.mkdir()


@asynccontextmanager
async def exporting(
    store: MemoryStore, log: Path, told: Announced | None = None
) -> AsyncIterator[Exporter]:
    """Run an exporter, and drain it at the end."""
    exporter = Exporter(
        store, log, Announced() if told is None else told, idle_s=0.01, backoff_s=(0.005, 0.01)
    )
    task = asyncio.create_task(exporter.run())
    yield exporter
    task.cancel()
    await exporter.drain()
    await exporter.close()


class Hesitant(MemoryStore):
    """A store that never comes to an answer while it hesitates."""

    hesitates = asked = False

    async def lines_after(self, seq: int, limit: int) -> tuple[int, Sequence[bytes]]:
        if self.hesitates:
            self.asked = True
            await asyncio.Event().wait()
        return await super().lines_after(seq, limit)


async def grow(store: MemoryStore, *seeds: int) -> Record:
    for seed in seeds:
        save = birth(seed)
        record = replace(save.record, number=await store.create(save))
    return record


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until it holds; the test's own time-out ends it otherwise."""
    while not holds():  # noqa: ASYNC110  what holds is no event of the code under test
        await asyncio.sleep(0.001)


async def test_what_is_saved_is_exported_in_order(log: Path) -> None:
    store = MemoryStore()

    async with exporting(store, log) as exporter:
        record = await grow(store, 1)
        store.append([observation(1)])
        await store.save(jump(record))
        await until(lambda: exporter.status.exported == 3)

    report = verify(log)
    assert report.clean
    assert (report.events, report.moves) == (3, 2)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_what_is_safe_in_the_file_is_pruned(log: Path) -> None:
    store = MemoryStore()

    async with exporting(store, log):
        await grow(store, 1, 2, 3)

    assert await store.events_after(0, 10) == ()
    assert await store.export_cursor("jsonl") == (3, verify(log).head.hash)


async def test_the_next_process_goes_on_where_the_file_ends(log: Path) -> None:
    store = MemoryStore()
    for seeds in ((1, 2), (3,), (4, 5, 6)):
        async with exporting(store, log):
            await grow(store, *seeds)

    report = verify(log)
    assert report.clean
    assert report.events == 6


async def test_a_torn_last_line_is_written_again(log: Path) -> None:
    store = MemoryStore()
    exporter = Exporter(store, log, Announced())
    await grow(store, 1, 2)
    await exporter._export()
    await exporter.close()
    whole = log.read_bytes()
    log.write_bytes(whole[:-7])

    async with exporting(store, log):
        pass

    assert log.read_bytes() == whole


async def test_lines_that_were_lost_come_again_from_the_outbox(log: Path) -> None:
    store = MemoryStore()
    await grow(store, 1, 2, 3)
    exporter = Exporter(store, log, Announced())
    await exporter._export()
    whole = log.read_bytes()
    log.write_bytes(b"".join(whole.splitlines(keepends=True)[:1]))

    await exporter.drain()
    await exporter.close()

    assert log.read_bytes() == whole


async def test_a_removed_file_begins_again_and_the_chain_goes_on(log: Path) -> None:
    store = MemoryStore()

    async with exporting(store, log) as exporter:
        await grow(store, 1, 2)
        await until(lambda: exporter.status.exported == 2)
        rotated = log.rename(log.with_suffix(".1"))
        await grow(store, 3)
        await until(lambda: exporter.status.exported == 3)

    report = verify(rotated, log)
    assert (report.clean, report.events) == (True, 3)


async def test_an_export_interrupted_while_its_file_is_moved_writes_no_event_again(
    log: Path,
) -> None:
    store = Hesitant()
    exporter = Exporter(store, log, Announced())
    task = asyncio.create_task(exporter.run())
    await grow(store, 1, 2)
    await until(lambda: exporter.status.exported == 2)

    store.hesitates = True
    await grow(store, 3)
    await until(lambda: store.asked)
    task.cancel()
    store.hesitates = False
    rotated = log.rename(log.with_suffix(".1"))
    await exporter.drain()
    await exporter.close()

    report = verify(rotated, log)
    assert (report.clean, report.events) == (True, 3)
    assert verify(log, extent=PART).events == 1


async def test_a_file_that_cannot_be_written_costs_retries_and_no_events(log: Path) -> None:
    store, told = MemoryStore(), Announced()
    log.mkdir()

    async with exporting(store, log, told) as exporter:
        await grow(store, 1, 2)
        await until(lambda: exporter.status.failures >= 3)
        log.rmdir()
        await until(lambda: exporter.status.exported == 2)

    assert verify(log).clean
    assert [each[0] for each in told] == [EventType.SINK_DEGRADED] * 2
    assert [each[2].working for each in told if isinstance(each[2], SinkData)] == [False, True]


@pytest.mark.root
async def test_a_full_disk_is_waited_for_and_leaves_no_torn_line(log: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(log.parent)]
    subprocess.run(mount, check=True)
    try:
        store = MemoryStore()
        (log.parent / "ballast").write_bytes(b"x" * 40_000)
        async with exporting(store, log) as exporter:
            await grow(store, *range(40))
            await until(lambda: exporter.status.failures >= 2)
            assert log.read_bytes()[-1:] in {b"", b"\n"}
            (log.parent / "ballast").unlink()
            await until(lambda: exporter.status.exported == 40)
        report = verify(log)
    finally:
        subprocess.run(["umount", "-l", str(log.parent)], check=True)

    assert report.clean
    assert report.events == 40


async def test_a_file_that_is_no_log_is_left_alone(log: Path) -> None:
    store = MemoryStore()
    log.write_bytes(b"a letter to my aunt")

    async with exporting(store, log) as exporter:
        await grow(store, 1)
        await until(lambda: exporter.status.failures >= 2)

    assert log.read_bytes() == b"a letter to my aunt"


async def test_a_client_continues_its_own_log(log: Path) -> None:
    for ordinal in range(3):
        buffer = EventBuffer(continue_log(log))
        exporter = Exporter(buffer, log, Announced())
        buffer.append([observation(2 * ordinal), observation(2 * ordinal + 1)])
        assert await exporter.drain()
        await exporter.close()

    report = verify(log)
    assert report.clean
    assert report.events == 6


async def test_what_finds_no_room_is_counted_and_told(log: Path) -> None:
    buffer, told = EventBuffer(START, room=3), Announced()
    exporter = Exporter(buffer, log, told)

    buffer.append([observation(each) for each in range(5)])
    await exporter.drain()
    await exporter.close()

    assert verify(log).events == 3
    assert [(each[0], each[1]) for each in told] == [
        (EventType.EVENTS_DROPPED, Reason.QUEUE_OVERFLOW)
    ]


def test_each_event_is_in_the_file_once_whenever_the_process_is_killed(tmp_path: Path) -> None:
    log, instants = tmp_path / "events.jsonl", random.Random(3)
    for _ in range(5):
        run_and_kill(tmp_path, saves=instants.randrange(1, 200))

        asyncio.run(export_the_rest(tmp_path, log))
        report = verify(log)

        assert report.first is None
    assert report.events > 100


async def export_the_rest(directory: Path, log: Path) -> None:
    store = await SqliteStore.open(directory / "sessions.db")
    exporter = Exporter(store, log, Announced())
    assert await exporter.drain()
    assert verify(log).head.seq == store.newest_seq
    await exporter.close()
    await store.close()


def run_and_kill(directory: Path, *, saves: int) -> None:
    """Let a child save so many times, and kill it."""
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests/observe/exporting.py", directory, str(writing)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'python'}:{ROOT / 'tests'}"},
        pass_fds=(writing,),
    )
    os.close(writing)
    seen = 0
    while seen < saves:
        seen += len(os.read(reading, 4096))
    child.send_signal(signal.SIGKILL)
    child.wait()
    os.close(reading)
