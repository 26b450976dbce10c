"""The client's state file: what lets its session go on after a restart of the client.

The file is private, replaced in one step, and on the disk before anything is sent that depends on
it. A damaged file is refused and left alone: to give a session up is a decision for a person.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from jumping_vpn.core.client_state import ClientState
from jumping_vpn.service.files import FileRefused, erase_durably, read_private, write_durably

MAGIC: Final = b"jvpn state\x01"
DIGEST: Final = hashlib.sha256().digest_size
FORMAT: Final = 1


def load(path: Path) -> ClientState | None:
    """Return what an earlier run left, or None; FileRefused names what is wrong with it."""
    content = read_private(path)
    if content is None:
        return None
    digest, body = content[len(MAGIC) : len(MAGIC) + DIGEST], content[len(MAGIC) + DIGEST :]
    if not content.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
        raise FileRefused(path, f"is damaged; remove it to begin a new session: {path}")
    try:
        state = msgspec.msgpack.decode(body, type=ClientState)
    except msgspec.DecodeError as error:
        raise FileRefused(path, f"holds what this version cannot read: {error}") from error
    if state.format != FORMAT:
        raise FileRefused(path, f"has format {state.format}, this version reads {FORMAT}")
    return state


def encoded(state: ClientState) -> bytes:
    """Return the bytes of the state file."""
    body = msgspec.msgpack.encode(state)
    return MAGIC + hashlib.sha256(body).digest() + body


class StateKeeper:
    """Writes the state file off the event loop, one write at a time, the newest state only."""

    def __init__(self, path: Path) -> None:
        self.lazy_writes_failed = 0
        self._path = path
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._lazy: ClientState | None = None
        self._wanted = asyncio.Event()

    async def keep(self, state: ClientState | None) -> None:
        """Make the state durable, or erase it; OSError when the disk refuses."""
        self._lazy = None
        await asyncio.get_running_loop().run_in_executor(self._disk, self._write, state)

    def keep_lazily(self, state: ClientState) -> None:
        """Write the state when convenient; a newer one supersedes it."""
        self._lazy = state
        self._wanted.set()

    async def run(self) -> None:
        """Write lazily for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; a disk that refuses costs the next run a round trip, and is counted."""
        if self._lazy is None:
            return
        try:
            await self.keep(self._lazy)
        except OSError:
            self.lazy_writes_failed += 1

    def close(self) -> None:
        """Wait for the write under way and end."""
        self._disk.shutdown()

    def _write(self, state: ClientState | None) -> None:
        if state is None:
            erase_durably(self._path)
        else:
            write_durably(self._path, encoded(state))


@asynccontextmanager
async def keeping(path: Path) -> AsyncIterator[StateKeeper]:
    """Keep the state file for as long as the context lasts; what waits then is still written."""
    keeper = StateKeeper(path)
    try:
        yield keeper
    finally:
        await keeper.flush()
        keeper.close()
