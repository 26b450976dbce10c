"""What every store promises, whatever it is made of.

- Linearizable per session. A write is acknowledged only when it is durable, the record and the
  events of its moves in one transaction.
- A refused write changed nothing and says which expectation failed. When both the version and the
  ownership epoch differ, the ownership is named: it is the one that explains the other.
- An unknown outcome is not guessed: `OutcomeUnknown` means that the caller reads back, and
  compares the version, before it answers anyone.
- Writes of many sessions may share one transaction; a refused one never fails the others.
- A session's number is issued by `create`, once, and never again, also after its deletion.
- A record that cannot be read is refused with its id, and nothing else is: the others go on.
- Events are read back in the order of their commit, numbered without a gap from 1 (`node_seq`).

The errors, all of them operating failures:

    StoreError
    ├── StoreRefused            what is on the disk cannot be used; it is named and left alone
    │   ├── StoreCorrupted
    │   └── StoreTooNew         written by a newer version of this program
    ├── StoreUnavailable        it was not written: full, locked, closed, overloaded
    │   └── OutcomeUnknown      it may have been written: read back
    ├── SaveRefused             an expectation failed; nothing was written
    │   ├── OwnershipConflict
    │   ├── StaleVersion
    │   ├── SessionExists
    │   └── SessionMissing
    ├── CorruptRecord           this one session cannot be read
    └── LeaseRefused            a newer incarnation of the node has started
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from jumping_vpn.core.events import Event
from jumping_vpn.core.ids import NodeId, OwnershipEpoch, SessionId, SessionNumber, StateVersion
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record

WAITING_MAX: Final = 65_536
"""Writes that may wait for their commit; the next one is refused with `StoreUnavailable`."""
OBSERVATIONS_MAX: Final = 65_536
"""Observations that may wait for a commit; the next ones are dropped and counted."""
WATCH_MAX: Final = 16_384
"""Changes that a watcher may leave unread; then it gets one `Lapse` instead of them."""


class StoreError(Exception):
    """Anything a store can fail with."""


class StoreRefused(StoreError):
    """What is on the disk cannot be used. It is named and left as it is."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class StoreCorrupted(StoreRefused):
    """The store's file is damaged or is no store."""


class StoreTooNew(StoreRefused):
    """The store's file was written by a newer version of this program."""


class StoreUnavailable(StoreError):
    """The store cannot make a write durable, or cannot be read. Nothing was written."""


class OutcomeUnknown(StoreUnavailable):
    """The write may or may not be durable: read back before answering anyone."""


class SaveRefused(StoreError):
    """An expectation of the write does not hold. Nothing was written."""

    def __init__(self, session_id: SessionId, why: str) -> None:
        super().__init__(f"session {session_id.hex()}: {why}")
        self.session_id = session_id


class OwnershipConflict(SaveRefused):
    """Another node holds the session: its ownership epoch is not the expected one."""

    def __init__(
        self, session_id: SessionId, *, expected: OwnershipEpoch, found: OwnershipEpoch
    ) -> None:
        super().__init__(session_id, f"ownership epoch is {found}, expected {expected}")
        self.expected = expected
        self.found = found


class StaleVersion(SaveRefused):
    """The session has moved: its version is not the expected one."""

    def __init__(
        self, session_id: SessionId, *, expected: StateVersion, found: StateVersion
    ) -> None:
        super().__init__(session_id, f"version is {found}, expected {expected}")
        self.expected = expected
        self.found = found


class SessionExists(SaveRefused):
    """A session of this id exists already; it is never replaced."""


class SessionMissing(SaveRefused):
    """The store has no session of this id."""


class CorruptRecord(StoreError):
    """The record of this session is damaged, or of a newer format. Only this session is lost."""

    def __init__(self, session_id: SessionId, number: SessionNumber, why: str) -> None:
        super().__init__(f"session {session_id.hex()} (number {number}): {why}")
        self.session_id = session_id
        self.number = number
        self.why = why


class LeaseRefused(StoreError):
    """A newer incarnation of this node has started; this one may forward nothing more."""

    def __init__(self, node: NodeId, *, incarnation: int, found: int) -> None:
        super().__init__(f"node {node}: incarnation {incarnation} was followed by {found}")
        self.node = node
        self.found = found


class Unreadable(Struct, frozen=True, kw_only=True):
    """A session whose record cannot be read, found while reading many."""

    session_id: SessionId
    number: SessionNumber
    why: str


class Lease(Struct, frozen=True, kw_only=True):
    """A node's hold on its right to forward, as the store has it."""

    node: NodeId
    incarnation: int
    ends_wall_ms: int


class Changed(Struct, frozen=True, kw_only=True):
    """A session was written; told after the commit, in its order."""

    session_id: SessionId
    number: SessionNumber
    version: StateVersion
    owner: NodeId
    ownership_epoch: OwnershipEpoch


class Deleted(Struct, frozen=True, kw_only=True):
    """A session's record is gone."""

    session_id: SessionId
    number: SessionNumber


class Lapse(Struct, frozen=True):
    """The watcher was too slow and missed changes: read again what you hold."""


Change: TypeAlias = Changed | Deleted | Lapse


class Store(Protocol):
    """Durable sessions, their events, and what the nodes agree on."""

    # One session.

    async def create(self, save: Save) -> SessionNumber:
        """Write a session that is new, and return the number issued to it; its record has it."""
        ...

    async def save(self, save: Save) -> None:
        """Replace a session's record if its version and ownership epoch are the expected ones."""
        ...

    async def touch(self, record: Record) -> None:
        """Replace what no move guards, if version and ownership epoch are still the record's."""
        ...

    def touch_lazily(self, record: Record) -> None:
        """Touch when convenient, before anyone reads the session and with its next save at once.

        Only a session's newest is written. A save that follows holds what the touch says.
        """
        ...

    async def get(self, session_id: SessionId) -> Record | None:
        """Return the newest acknowledged record, its times on the clock of who wrote it."""
        ...

    async def get_by_number(self, number: SessionNumber) -> Record | None:
        """Return the record of the session with this number; None, linearizably: it is gone."""
        ...

    async def delete(self, session_id: SessionId, events: Sequence[Event] = ()) -> bool:
        """Remove a session, readable or not, and write events; False, and no events: none was."""
        ...

    # Many sessions.

    async def all_live(self) -> tuple[Record | Unreadable, ...]:
        """Return every session that has not ended, by number."""
        ...

    async def scan_expired(self, wall_ms: int) -> tuple[SessionId, ...]:
        """Return sessions whose end is past by this wall clock, and those that have ended."""
        ...

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Tell of every change that is committed after entering the context."""
        ...

    # Nodes.

    async def start_node(self, node: NodeId) -> int:
        """Return this start's incarnation: larger than that of any start before, durably."""
        ...

    async def lease(self, node: NodeId, incarnation: int, *, term_ms: int) -> None:
        """Grant or renew the node's lease; refused once a newer incarnation has started."""
        ...

    async def leases(self) -> tuple[Lease, ...]:
        """Return what was leased, by node, ended or not."""
        ...

    # Events.

    def append(self, events: Sequence[Event]) -> None:
        """Take observations to be written with a later commit. Never waits and never raises."""
        ...

    @property
    def newest_seq(self) -> int:
        """The number of the newest committed event; 0: there was none."""
        ...

    @property
    def observations_dropped(self) -> int:
        """How many observations found no room and were dropped since the start."""
        ...

    async def events_after(self, seq: int, limit: int) -> tuple[Event, ...]:
        """Return committed events in order, numbered, from the first after `seq` still kept."""
        ...

    async def lines_after(self, seq: int, limit: int) -> tuple[int, Sequence[bytes]]:
        """Return the same, encoded and not numbered, behind the number of the first."""
        ...

    async def wait_beyond(self, seq: int) -> int:
        """Return the number of the newest event, as soon as it is larger than `seq`."""
        ...

    async def export_cursor(self, name: str) -> tuple[int, str]:
        """Return how far an exporter has come: the last event's number and hash, or (0, "")."""
        ...

    async def acknowledge(self, name: str, seq: int, digest: str) -> None:
        """Record how far an exporter has come; what every exporter has, is pruned."""
        ...

    # Life.

    async def close(self) -> None:
        """Write what still waits, and let go of everything."""
        ...
