"""What we change on this machine, written down before we do it, so that all of it can be undone.

A journal is void after a reboot and in another network namespace: what it lists is gone there. So
it has to survive our own death, not the machine's, and is never synced to the disk.
"""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a journal holds: this boot of the machine, this network namespace."""

    boot: str
    namespace: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A journal as it stands in its file."""

    place: Place
    changes: msgspec.Raw


def here() -> Place:
    """Return the boot and the network namespace of the calling thread."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Place(boot=boot, namespace=Path("/proc/thread-self/ns/net").stat().st_ino)


def load(path: Path, shape: type[T]) -> T | None:
    """Return the changes that an earlier run left in force here, or None."""
    try:
        entry = msgspec.json.decode(path.read_bytes(), type=Entry)
        if entry.place != here():
            return None
        return msgspec.json.decode(entry.changes, type=shape)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def save(path: Path, changes: object) -> None:
    """Replace the journal, whole or not at all."""
    entry = Entry(place=here(), changes=msgspec.Raw(msgspec.json.encode(changes)))
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(entry))
    temporary.replace(path)


def erase(path: Path) -> None:
    """Forget: everything was undone."""
    path.unlink(missing_ok=True)
