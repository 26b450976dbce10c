"""What was acknowledged is there, and nothing is there by halves, whenever the process dies."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from jumping_vpn.core.events import MOVE_TYPES
from jumping_vpn.core.record import Record
from jumping_vpn.core.replay import replay
from jumping_vpn.core.session.model import Session
from jumping_vpn.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
CRASHES = 6


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    instants = random.Random(2)
    acknowledged: dict[str, int] = {}

    for _ in range(CRASHES):
        acknowledged |= run_and_kill(path, after_s=instants.uniform(0.02, 0.4))

        asyncio.run(check(path, acknowledged))

    assert max(acknowledged.values()) > 10


def run_and_kill(path: Path, *, after_s: float) -> dict[str, int]:
    """Let a child save for a while, kill it, and return the newest version acknowledged to it."""
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests/store/crashing.py", path, str(writing)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'python'}:{ROOT / 'tests'}"},
        pass_fds=(writing,),
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        first = answers.readline()
        timer = time.monotonic() + after_s
        lines = [first]
        for line in answers:
            lines.append(line)
            if child.returncode is None and time.monotonic() > timer:
                child.send_signal(signal.SIGKILL)
                child.wait()
    newest: dict[str, int] = {}
    for line in lines:
        if line.endswith(b"\n"):
            session_id, version = line.split()
            newest[session_id.decode()] = int(version)
    return newest


async def check(path: Path, acknowledged: dict[str, int]) -> None:
    store = await SqliteStore.open(path)
    records = {}
    for each in await store.all_live():
        assert isinstance(each, Record)
        records[each.session.session_id.hex()] = each
    events = await store.events_after(0, 1_000_000)
    await store.close()

    assert [each.node_seq for each in events] == list(range(1, len(events) + 1))
    told: dict[str, Session | None] = defaultdict(lambda: None)
    for event in events:
        if event.event_type in MOVE_TYPES and event.session_id is not None:
            replayed = replay(told[event.session_id], event)
            assert not replayed.broken
            told[event.session_id] = replayed.session
    for session_id, version in acknowledged.items():
        assert records[session_id].session.version >= version
    for session_id, record in records.items():
        session = told[session_id]
        assert session is not None
        assert (session.version, session.state) == (record.session.version, record.session.state)
