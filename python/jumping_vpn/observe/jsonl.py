"""A JSON Lines file that only grows, and only by whole lines.

A crash in the middle of a write leaves a torn last line; opening cuts it off, and who writes the
lines writes it again. A failed write (a full disk) is cut off at once, so that the file never holds
half a line for longer than the write itself. The file may be removed, renamed or replaced under
way: `in_place` tells, and opening again goes on in a fresh one.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
LINE_MAX: Final = 1 << 20
"""No line is longer; what ends in more than this without a line end is not a log of ours."""
_BLOCK: Final = 1 << 16


class NoLog(Exception):
    """The file at this path is something else than a log; it is left alone."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class JsonlFile:
    """One file, written by one process. Every call may block and may raise `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._end = 0

    def open(self) -> bytes | None:
        """Open or create the file, cut off a torn last line, and return the last whole one."""
        self.close()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, PRIVATE)
        try:
            end = os.fstat(descriptor).st_size
            last, whole = _last_line(descriptor, end, self.path)
            if whole != end:
                os.ftruncate(descriptor, whole)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self._end = descriptor, whole
        return last

    @property
    def in_place(self) -> bool:
        """Whether the open file is still the one at its path, and as long as it was left."""
        if self._descriptor is None:
            return False
        try:
            found = self.path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        same = (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
        return same and ours.st_size == self._end

    def append(self, lines: Sequence[bytes]) -> None:
        """Write all the lines, or none of them."""
        descriptor = self._opened()
        rest = memoryview(b"".join(line + b"\n" for line in lines))
        grown = len(rest)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            os.ftruncate(descriptor, self._end)
            raise
        self._end += grown

    def last(self) -> bytes | None:
        """Return the last whole line, wherever the open file is by now."""
        return _last_line(self._opened(), self._end, self.path)[0]

    def sync(self) -> None:
        """Return when everything that was appended is on the disk."""
        os.fdatasync(self._opened())

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is None:
            raise FileNotFoundError(f"{self.path} is not open")
        return self._descriptor


def _last_line(descriptor: int, end: int, path: Path) -> tuple[bytes | None, int]:
    """Return the last whole line, and where it ends."""
    tail, start = b"", end
    while start > 0 and tail.count(b"\n") < 2:
        if len(tail) > 2 * LINE_MAX:
            raise NoLog(path, "ends in a line that is longer than any event")
        start = max(0, start - _BLOCK)
        tail = os.pread(descriptor, end - start, start)
    cut = tail.rfind(b"\n")
    torn = tail[cut + 1 :].rstrip(b"\0")
    if torn and not torn.startswith(b"{"):
        raise NoLog(path, "ends in something that is no event")
    if cut < 0:
        return None, 0
    return tail[tail.rfind(b"\n", 0, cut) + 1 : cut], start + cut + 1
