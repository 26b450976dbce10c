"""Saves per second of the SQLite store, as a gateway makes them: jumps, from 64 lanes at a time.

Run with PYTHONPATH=python:tests. Prints one JSON line for each case: how long the event loop works
by itself for each save, and whether the log is exported meanwhile.
"""

import asyncio
import json
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from jumping_vpn.core.ready import Save
from jumping_vpn.observe.exporter import Exporter
from jumping_vpn.store.sqlite import SqliteStore
from support.saves import birth, jump

SESSIONS: Final = 2048
LANES: Final = 64
ROUNDS: Final = 3


async def measure(directory: Path, *, busy_us: int, export: bool) -> dict[str, object]:
    """Return the figures of one case."""
    store = await SqliteStore.open(directory / "sessions.db")
    exporter = Exporter(store, directory / "events.jsonl", lambda *_: None)
    births = [birth(seed) for seed in range(SESSIONS)]
    numbers = await asyncio.gather(*(store.create(each) for each in births))
    records = [
        replace(each.record, number=number) for each, number in zip(births, numbers, strict=True)
    ]
    saves: list[Save] = []
    for _ in range(ROUNDS):
        saves += [jump(each) for each in records]
        records = [each.record for each in saves[-SESSIONS:]]

    async def serve(lane: int) -> None:
        for save in saves[lane::LANES]:
            until = time.perf_counter() + busy_us / 1e6
            while time.perf_counter() < until:
                pass
            await store.save(save)

    async with AsyncExitStack() as stack:
        if export:
            task = asyncio.create_task(exporter.run())
            stack.callback(task.cancel)
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(serve(lane) for lane in range(LANES)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await exporter.drain()
    await exporter.close()
    await store.close()
    return {
        "bench": "store",
        "busy_us": busy_us,
        "export": export,
        "saves_per_s": round(len(saves) / wall),
        "cpu_us_per_save": round(cpu / len(saves) * 1e6 - busy_us, 1),
    }


def main() -> None:
    """Measure every case."""
    for export in (False, True):
        for busy_us in (0, 100):
            with tempfile.TemporaryDirectory() as directory:
                figures = asyncio.run(measure(Path(directory), busy_us=busy_us, export=export))
            print(json.dumps(figures))


if __name__ == "__main__":
    main()
