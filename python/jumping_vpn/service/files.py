"""Files that hold secrets or state: private to their owner, and whole or absent after any crash."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
READ_MAX: Final = 1 << 20


class FileRefused(Exception):
    """A file is not what it must be; it is named and left alone."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


def read_private(path: Path) -> bytes | None:
    """Return the content of a file that only its owner can touch, or None when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileRefused(path, error.strerror or str(error)) from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise FileRefused(path, "is no regular file")
        if stat.S_IMODE(found.st_mode) & 0o077:
            mode = stat.S_IMODE(found.st_mode)
            raise FileRefused(path, f"has mode {mode:04o}, expected 0600: run chmod 600 {path}")
        if found.st_uid != os.geteuid():
            raise FileRefused(path, f"belongs to user {found.st_uid}, expected {os.geteuid()}")
        content = file.read(READ_MAX + 1)
    if len(content) > READ_MAX:
        raise FileRefused(path, f"is larger than {READ_MAX} bytes")
    return content


def write_durably(path: Path, content: bytes) -> None:
    """Replace the file in one step that is on the disk when this returns.

    The temporary name is fixed, so that what a crash left behind is overwritten by the next write.
    """
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, PRIVATE)
    try:
        os.fchmod(descriptor, PRIVATE)
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    _sync_directory(path.parent)


def erase_durably(path: Path) -> None:
    """Overwrite the file, then remove it; nothing to do when there is none."""
    for stale in (path.with_name(path.name + ".new"), path):
        try:
            descriptor = os.open(stale, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            _write_all(descriptor, bytes(os.fstat(descriptor).st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        stale.unlink()
    _sync_directory(path.parent)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
