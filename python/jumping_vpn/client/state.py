"""The client's state file: what lets its session go on after a restart of the client.

The file is private, and what it must hold is on the disk before anything is sent that depends on
it. That stands in the way of every jump, so the file is made once, whole, and from then on written
in place: two slots in turn, each with a serial and a digest, one flush per write. A crash in the
middle of a write leaves the slot before it. A file without a whole slot is refused and left alone:
to give a session up is a decision for a person.
"""

import asyncio
import errno
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from jumping_vpn.core.client_state import ClientState
from jumping_vpn.service.files import FileRefused, erase_durably, read_private, write_durably

SLOTS: Final = 2
SLOT_SIZE: Final = 32 * 1024
HEADER: Final = struct.Struct(">8sQI32s")
MAGIC: Final = b"jvpnst\x00\x01"
FORMAT: Final = 1


def load(path: Path) -> ClientState | None:
    """Return what an earlier run left, or None; FileRefused names what is wrong with it."""
    content = read_private(path)
    if content is None:
        return None
    slots = [
        slot
        for start in range(0, SLOTS * SLOT_SIZE, SLOT_SIZE)
        if (slot := _read_slot(content[start : start + SLOT_SIZE])) is not None
    ]
    if not slots:
        raise FileRefused(path, f"is damaged; remove it to begin a new session: {path}")
    _, body = max(slots)
    try:
        state = msgspec.msgpack.decode(body, type=ClientState)
    except msgspec.DecodeError as error:
        raise FileRefused(path, f"holds what this version cannot read: {error}") from error
    if state.format != FORMAT:
        raise FileRefused(path, f"has format {state.format}, this version reads {FORMAT}")
    return state


class StateKeeper:
    """Writes the state file off the event loop, one write at a time, the newest state only."""

    def __init__(self, path: Path) -> None:
        self.lazy_writes_failed = 0
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._file = _StateFile(path)
        self._lazy: ClientState | None = None
        self._wanted = asyncio.Event()

    async def keep(self, state: ClientState | None) -> None:
        """Make the state durable, or erase it; OSError when the disk refuses."""
        self._lazy = None
        work = self._file.erase if state is None else lambda: self._file.write(state)
        await asyncio.get_running_loop().run_in_executor(self._disk, work)

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
        self._disk.submit(self._file.close)
        self._disk.shutdown()


@asynccontextmanager
async def keeping(path: Path) -> AsyncIterator[StateKeeper]:
    """Keep the state file for as long as the context lasts; what waits then is still written."""
    keeper = StateKeeper(path)
    try:
        yield keeper
    finally:
        await keeper.flush()
        keeper.close()


class _StateFile:
    """The file on the disk. Every call blocks, and may raise OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._serial = 0

    def write(self, state: ClientState) -> None:
        """Return when the state is on the disk."""
        slot = _slot_of(self._serial + 1, msgspec.msgpack.encode(state))
        if self._descriptor is None or os.fstat(self._descriptor).st_nlink == 0:
            self._make(slot)
        else:
            at = (self._serial + 1) % SLOTS * SLOT_SIZE
            if os.pwrite(self._descriptor, slot, at) != len(slot):
                raise OSError(errno.EIO, "the state was written in part")
        self._serial += 1

    def erase(self) -> None:
        """Overwrite the file and remove it."""
        self.close()
        erase_durably(self._path)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _make(self, slot: bytes) -> None:
        """Replace the file by one with this slot and room for the others, in one step."""
        self.close()
        content = bytearray(SLOTS * SLOT_SIZE)
        at = (self._serial + 1) % SLOTS * SLOT_SIZE
        content[at : at + len(slot)] = slot
        write_durably(self._path, bytes(content))
        flags = os.O_WRONLY | os.O_DSYNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags)


def _slot_of(serial: int, body: bytes) -> bytes:
    if HEADER.size + len(body) > SLOT_SIZE:
        raise OSError(errno.EFBIG, f"the state has {len(body)} bytes, more than a slot holds")
    return HEADER.pack(MAGIC, serial, len(body), _digest(serial, body)) + body


def _read_slot(content: bytes) -> tuple[int, bytes] | None:
    """Return a slot's serial and body, or None when it is empty or was not written whole."""
    if len(content) < HEADER.size:
        return None
    magic, serial, size, digest = HEADER.unpack_from(content)
    body = content[HEADER.size : HEADER.size + size]
    if magic != MAGIC or len(body) != size or digest != _digest(serial, body):
        return None
    return serial, body


def _digest(serial: int, body: bytes) -> bytes:
    return hashlib.sha256(serial.to_bytes(8, "big") + body).digest()
