"""A child process that saves, and says what was acknowledged, until it is killed."""

import asyncio
import os
import sys
from pathlib import Path

from msgspec.structs import replace

from jumping_vpn.store.sqlite import SqliteStore
from support.saves import birth, loss_and_return, observation

SESSIONS = 24


async def work(path: Path, answers: int) -> None:
    store = await SqliteStore.open(path)
    live = {each.session.session_id: each for each in await store.all_live()}

    async def go_on(seed: int) -> None:
        save = birth(seed)
        record = live.get(save.record.session.session_id)
        if record is None:
            record = replace(save.record, number=await store.create(save))
        while True:
            session = record.session
            os.write(answers, f"{session.session_id.hex()} {session.version}\n".encode())
            save = loss_and_return(record)
            store.append([observation(seed)])
            await store.save(save)
            record = save.record

    async with asyncio.TaskGroup() as group:
        for seed in range(SESSIONS):
            group.create_task(go_on(seed))


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
