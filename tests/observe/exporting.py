"""A child process that saves and exports at the same time, until it is killed."""

import asyncio
import os
import sys
from pathlib import Path

from msgspec.structs import replace

from jumping_vpn.observe.exporter import Exporter
from jumping_vpn.store.sqlite import SqliteStore
from support.saves import birth, loss_and_return


async def work(directory: Path, answers: int) -> None:
    store = await SqliteStore.open(directory / "sessions.db")
    exporter = Exporter(store, directory / "events.jsonl", lambda *_: None, idle_s=0.01)
    live = {each.session.session_id: each for each in await store.all_live()}

    async def go_on(seed: int) -> None:
        save = birth(seed)
        record = live.get(save.record.session.session_id)
        if record is None:
            record = replace(save.record, number=await store.create(save))
        while True:
            save = loss_and_return(record)
            await store.save(save)
            record = save.record
            os.write(answers, b".")

    async with asyncio.TaskGroup() as group:
        group.create_task(exporter.run())
        for seed in range(8):
            group.create_task(go_on(seed))


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
