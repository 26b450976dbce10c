"""One transaction over many orders: judged one by one, written in bulk.

Within the transaction nobody else writes, so each order is judged against what the orders before it
left, in memory, and only what was accepted is written: a refused order leaves no trace and needs no
savepoint. Few statements are made for many orders, because each one gives up the interpreter lock
and, beside a busy event loop, waits a switch interval to have it back.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from jumping_vpn.core.events import Event, encode_event
from jumping_vpn.core.ids import NodeId, OwnershipEpoch, SessionId, SessionNumber, StateVersion
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import ends_wall_ms
from jumping_vpn.core.session.model import State
from jumping_vpn.store.contract import (
    Change,
    Changed,
    Deleted,
    LeaseRefused,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
)
from jumping_vpn.store.format import FORMAT, checksum, encode_record
from jumping_vpn.store.judgement import Head, refusal

T = TypeVar("T")

CHUNK_MAX: Final = 256
"""Rows of one statement; fewer are cut into powers of two, so that statements are reused."""
PRUNED_MAX: Final = 4096
"""Events that one acknowledgement prunes at most, so that no save waits long for it."""


class Put(Struct, frozen=True):
    """Create or replace a record, encoded by the caller.

    `noted` are observations that happened to wait: they are written in front, also of a put that is
    refused.
    """

    save: Save
    encoded: bytes
    events: tuple[bytes, ...]
    noted: tuple[bytes, ...] = ()


class Touches(Struct, frozen=True):
    """Replace what no move guards, of many sessions; who moved meanwhile is left out."""

    puts: tuple[Put, ...]


class Remove(Struct, frozen=True):
    """Delete a session's record."""

    session_id: SessionId
    events: tuple[bytes, ...]


class Note(Struct, frozen=True):
    """Add observations to the outbox."""

    events: tuple[bytes, ...]


class StartNode(Struct, frozen=True):
    """Issue the next incarnation of a node."""

    node: NodeId


class GrantLease(Struct, frozen=True):
    """Grant or renew a node's lease."""

    node: NodeId
    incarnation: int
    ends_wall_ms: int


class Acknowledge(Struct, frozen=True):
    """Move an export cursor, and prune what every exporter has."""

    name: str
    seq: int
    digest: str


class Settle(Struct, frozen=True):
    """Change nothing that anyone reads: its commit decides a commit whose outcome is unknown."""


Order: TypeAlias = Put | Touches | Remove | Note | StartNode | GrantLease | Acknowledge | Settle


class Committed(Struct, frozen=True, kw_only=True):
    """What a committed group did: one outcome for each order, in order."""

    outcomes: tuple[object, ...]
    changes: tuple[Change, ...]
    last_seq: int | None


def put(save: Save, noted: tuple[bytes, ...] = ()) -> Put:
    """Return the order to write a save."""
    return Put(save, encode_record(save.record), encoded_events(save.events), noted)


def encoded_events(events: Sequence[Event]) -> tuple[bytes, ...]:
    """Return events as the outbox keeps them."""
    return tuple(encode_event(each) for each in events)


class Ledger:
    """Commits groups of orders over one connection that is nobody else's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def commit(self, orders: Sequence[Order]) -> Committed:
        """Carry out the orders in one durable transaction, or raise and carry out none of them."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            page = self._read_page(orders)
            outcomes = tuple(self._judge(page, each) for each in orders)
            last_seq = self._write_page(page)
        except sqlite3.Error as error:
            self._roll_back()
            raise StoreUnavailable(str(error)) from error
        except BaseException:
            self._roll_back()
            raise
        self._commit()
        return Committed(outcomes=outcomes, changes=tuple(page.changes), last_seq=last_seq)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if error.sqlite_errorcode in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}:
                raise StoreUnavailable(str(error)) from error
            raise OutcomeUnknown(str(error)) from error

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise OutcomeUnknown(str(error)) from error

    def _read_page(self, orders: Sequence[Order]) -> "_Page":
        ids = {each for order in orders for each in _sessions_of(order)}
        page = _Page(heads=self._heads(list(ids)))
        if any(isinstance(each, Put) and each.save.create for each in orders):
            row = self._connection.execute(_READ_NUMBER).fetchone()
            page.number = page.number_before = row[0]
        return page

    def _heads(self, ids: list[SessionId]) -> dict[SessionId, Head]:
        heads = {}
        for start in range(0, len(ids), CHUNK_MAX):
            asked = _padded(ids[start : start + CHUNK_MAX])
            (found,) = self._connection.execute(_statement(_READ_HEADS, "?", len(asked)), asked)
            for session_id, number, version, ownership_epoch in msgspec.json.decode(found[0]):
                heads[SessionId(bytes.fromhex(session_id))] = Head(
                    number=number,
                    version=StateVersion(unsigned(version)),
                    ownership_epoch=OwnershipEpoch(unsigned(ownership_epoch)),
                )
        return heads

    def _judge(self, page: "_Page", order: Order) -> object:  # noqa: PLR0911  one for each order
        match order:
            case Put():
                return page.put(order)
            case Touches():
                for each in order.puts:
                    page.put(each)
                return None
            case Remove():
                return page.remove(order)
            case Note():
                page.events += order.events
                return None
            case StartNode():
                return self._connection.execute(_START_NODE, (order.node,)).fetchone()[0]
            case GrantLease():
                return self._grant(order)
            case Acknowledge():
                self._acknowledge(order)
                return None
            case Settle():
                self._connection.execute(_SETTLE)
                return None

    def _grant(self, order: GrantLease) -> StoreError | None:
        row = self._connection.execute(_READ_NODE, (order.node,)).fetchone()
        found = 0 if row is None else row[0]
        if found != order.incarnation:
            return LeaseRefused(order.node, incarnation=order.incarnation, found=found)
        self._connection.execute(_GRANT, (order.incarnation, order.ends_wall_ms, order.node))
        return None

    def _acknowledge(self, order: Acknowledge) -> None:
        self._connection.execute(_ACKNOWLEDGE, (order.name, order.seq, order.digest))
        self._connection.execute(_PRUNE, (PRUNED_MAX,))

    def _write_page(self, page: "_Page") -> int | None:
        execute = self._connection.execute
        for start in range(0, len(page.removed), CHUNK_MAX):
            asked = _padded(list(page.removed)[start : start + CHUNK_MAX])
            execute(_statement(_DELETE, "?", len(asked)), asked)
        for rows in _chunks(list(page.rows.values())):
            upsert = _statement(_UPSERT, _ROW, len(rows))
            execute(upsert, [value for row in rows for value in row])
        if page.number != page.number_before:
            execute(_WRITE_NUMBER, (page.number,))
        last_seq = None
        for events in _chunks(page.events):
            last_seq = execute(_statement(_ADD_EVENTS, "(?)", len(events)), events).lastrowid
        return last_seq


@dataclass(slots=True, kw_only=True)
class _Page:
    """What a transaction has found and decided so far."""

    heads: dict[SessionId, Head]
    number: int = 0
    number_before: int = 0
    rows: dict[SessionId, tuple[object, ...]] = field(default_factory=dict)
    removed: dict[SessionId, None] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def put(self, order: Put) -> SessionNumber | StoreError:
        """Accept the save, or return why it is refused."""
        self.events += order.noted
        session = order.save.record.session
        head = self.heads.get(session.session_id)
        refused = refusal(order.save, head)
        if refused is not None:
            return refused
        if head is None:
            self.number += 1
        number = SessionNumber(self.number) if head is None else head.number
        self.heads[session.session_id] = Head(
            number=number, version=session.version, ownership_epoch=session.ownership_epoch
        )
        self.rows[session.session_id] = _row(order, number)
        self.events += order.events
        self.changes.append(
            Changed(
                session_id=session.session_id,
                number=number,
                version=session.version,
                owner=session.owner,
                ownership_epoch=session.ownership_epoch,
            )
        )
        return number

    def remove(self, order: Remove) -> bool:
        """Drop the session, and return whether there was one."""
        head = self.heads.pop(order.session_id, None)
        if head is None:
            return False
        self.rows.pop(order.session_id, None)
        self.removed[order.session_id] = None
        self.events += order.events
        self.changes.append(Deleted(session_id=order.session_id, number=head.number))
        return True


def signed(value: int) -> int:
    """Return a 64-bit number as SQLite can keep it; only equality is ever asked of it there."""
    return value - (1 << 64) if value >> 63 else value


def unsigned(value: int) -> int:
    """Return what `signed` was given."""
    return value & (1 << 64) - 1


def _row(order: Put, number: SessionNumber) -> tuple[object, ...]:
    record = order.save.record
    session = record.session
    ended = session.state is State.TERMINATED
    return (
        number,
        session.session_id,
        session.state.value,
        signed(session.version),
        session.owner,
        signed(session.ownership_epoch),
        0 if ended else ends_wall_ms(record),
        FORMAT,
        checksum(order.encoded),
        order.encoded,
    )


def _sessions_of(order: Order) -> tuple[SessionId, ...]:
    match order:
        case Put():
            return (order.save.record.session.session_id,)
        case Touches():
            return tuple(each.save.record.session.session_id for each in order.puts)
        case Remove():
            return (order.session_id,)
    return ()


def _chunks(items: list[T]) -> Iterator[list[T]]:
    start = 0
    while start < len(items):
        size = min(CHUNK_MAX, 1 << (len(items) - start).bit_length() - 1)
        yield items[start : start + size]
        start += size


def _padded(ids: Sequence[SessionId]) -> list[Any]:
    size = 1 << (len(ids) - 1).bit_length()
    return [*ids, *[None] * (size - len(ids))]


@cache
def _statement(template: str, marks: str, count: int) -> str:
    """Return the statement for so many rows or ids: a power of two, so there are few of them."""
    return template.format(",".join((marks,) * count))


_READ_NUMBER: Final = "SELECT value FROM counters WHERE name = 'number'"
_WRITE_NUMBER: Final = "UPDATE counters SET value = ? WHERE name = 'number'"
_SETTLE: Final = "UPDATE counters SET value = value + 1 WHERE name = 'settled'"
_READ_HEADS: Final = (
    "SELECT json_group_array(json_array(hex(session_id), number, version, ownership_epoch))"
    " FROM sessions WHERE session_id IN ({})"
)
_DELETE: Final = "DELETE FROM sessions WHERE session_id IN ({})"
_ADD_EVENTS: Final = "INSERT INTO outbox (event) VALUES {}"
_ROW: Final = "(?,?,?,?,?,?,?,?,?,?)"
_UPSERT: Final = (
    "INSERT INTO sessions (number, session_id, state, version, owner, ownership_epoch,"
    " ends_wall_ms, format, checksum, record) VALUES {}"
    " ON CONFLICT (number) DO UPDATE SET state = excluded.state, version = excluded.version,"
    " owner = excluded.owner, ownership_epoch = excluded.ownership_epoch,"
    " ends_wall_ms = excluded.ends_wall_ms, format = excluded.format,"
    " checksum = excluded.checksum, record = excluded.record"
)
_START_NODE: Final = (
    "INSERT INTO nodes (node, incarnation) VALUES (?, 1)"
    " ON CONFLICT (node) DO UPDATE SET incarnation = incarnation + 1 RETURNING incarnation"
)
_READ_NODE: Final = "SELECT incarnation FROM nodes WHERE node = ?"
_GRANT: Final = "UPDATE nodes SET lease_incarnation = ?, lease_ends_wall_ms = ? WHERE node = ?"
_ACKNOWLEDGE: Final = (
    "INSERT INTO cursors (name, seq, digest) VALUES (?, ?, ?) ON CONFLICT (name)"
    " DO UPDATE SET seq = excluded.seq, digest = excluded.digest WHERE excluded.seq >= seq"
)
_PRUNE: Final = (
    "DELETE FROM outbox WHERE seq <= (SELECT min((SELECT min(seq) FROM cursors),"
    " (SELECT min(seq) FROM outbox) - 1 + ?))"
)
