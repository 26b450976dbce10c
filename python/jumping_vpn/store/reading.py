"""What is read from the SQLite file, over a connection that cannot write.

Where many rows are read while the gateway serves, SQLite makes one value of them: each row that is
stepped to gives up the interpreter lock, and beside a busy loop waits to have it back.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from jumping_vpn.core.event_data import DroppedData
from jumping_vpn.core.events import (
    Event,
    EventType,
    Origin,
    Stamp,
    check_event,
    decode_event,
    encode_event,
    make_event,
)
from jumping_vpn.core.ids import NodeId, SessionId, SessionNumber
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.store.contract import CorruptRecord, Lease, Unreadable
from jumping_vpn.store.format import Unintelligible, decode_record
from jumping_vpn.store.ledger import signed

_READ: Final = (
    "SELECT number, session_id, version, ownership_epoch, format, checksum, record"
    " FROM sessions WHERE {}"
)
_Row = tuple[int, bytes, int, int, int, int, bytes]


def read_session(connection: sqlite3.Connection, session_id: SessionId) -> Record | None:
    """Return a session's record; CorruptRecord if it cannot be read."""
    return _only(connection.execute(_READ.format("session_id = ?"), (session_id,)))


def read_number(connection: sqlite3.Connection, number: SessionNumber) -> Record | None:
    """Return the record of the session with this number; CorruptRecord if it cannot be read."""
    return _only(connection.execute(_READ.format("number = ?"), (number,)))


def read_live(connection: sqlite3.Connection) -> tuple[Record | Unreadable, ...]:
    """Return every session that has not ended, by number."""
    rows = connection.execute(_READ.format("state <> 'TERMINATED' ORDER BY number"))
    return tuple(_decoded(row) for row in rows)


def read_expired(connection: sqlite3.Connection, wall_ms: int) -> tuple[SessionId, ...]:
    """Return sessions that end by `wall_ms` or have ended, the earliest first."""
    (found,) = connection.execute(
        "SELECT json_group_array(hex(session_id)) FROM (SELECT session_id FROM sessions"
        " WHERE ends_wall_ms <= ? ORDER BY ends_wall_ms, number)",
        (wall_ms,),
    ).fetchone()
    return tuple(SessionId(bytes.fromhex(each)) for each in msgspec.json.decode(found))


def read_leases(connection: sqlite3.Connection) -> tuple[Lease, ...]:
    """Return what was leased, by node."""
    rows = connection.execute(
        "SELECT node, lease_incarnation, lease_ends_wall_ms FROM nodes"
        " WHERE lease_incarnation IS NOT NULL ORDER BY node"
    )
    return tuple(
        Lease(node=NodeId(node), incarnation=incarnation, ends_wall_ms=ends)
        for node, incarnation, ends in rows
    )


def read_events(
    connection: sqlite3.Connection, seq: int, limit: int
) -> tuple[int, Sequence[bytes]]:
    """Return the number of the first event that follows `seq`, and the encoded events from it on.

    They have no gap. In the place of a damaged one stands its loss.
    """
    try:
        return _events_joined(connection, seq, limit)
    except (msgspec.DecodeError, ValueError, sqlite3.OperationalError):
        # A damaged row: bytes that are no text fail in SQLite already.
        return _events_one_by_one(connection, seq, limit)


def read_cursor(connection: sqlite3.Connection, name: str) -> tuple[int, str]:
    """Return how far an exporter has come."""
    row = connection.execute("SELECT seq, digest FROM cursors WHERE name = ?", (name,)).fetchone()
    return (0, "") if row is None else (row[0], row[1])


def read_extent(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of the newest event, and how many older ones are pruned."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    last = 0 if row is None else row[0]
    (first,) = connection.execute("SELECT min(seq) FROM outbox").fetchone()
    return last, last if first is None else first - 1


def _events_joined(
    connection: sqlite3.Connection, seq: int, limit: int
) -> tuple[int, Sequence[bytes]]:
    first, count, joined = connection.execute(
        "SELECT min(seq), count(*), group_concat(CAST(event AS TEXT), char(10)) FROM"
        " (SELECT seq, event FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?)",
        (seq, limit),
    ).fetchone()
    if first is None:
        return seq + 1, ()
    lines = joined.encode().split(b"\n")
    if len(lines) != count:
        raise ValueError("a line end inside of an event")
    for line in lines:
        check_event(line)
    return first, lines


def _events_one_by_one(
    connection: sqlite3.Connection, seq: int, limit: int
) -> tuple[int, Sequence[bytes]]:
    rows = connection.execute(
        "SELECT seq, event FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    ).fetchall()
    whole = [decode_event(event) for _, event in rows if _is_whole(event)]
    lines = [
        event if _is_whole(event) else encode_event(_loss_of(number, whole))
        for number, event in rows
    ]
    return rows[0][0], lines


def _is_whole(encoded: bytes) -> bool:
    try:
        check_event(encoded)
    except (msgspec.DecodeError, ValueError):
        return False
    return b"\n" not in encoded


def _loss_of(number: int, whole: Sequence[Event]) -> Event:
    """Return what stands in the log for a row that cannot be read: the next numbers go on.

    It is told by the node, and at the time, of an event read beside it.
    """
    beside = next(iter(whole), None)
    return make_event(
        EventType.EVENTS_DROPPED,
        Reason.EVENT_DAMAGED,
        DroppedData(what="damaged row of the outbox", first=number, last=number, count=1),
        origin=Origin(node_id="" if beside is None else beside.node_id, reveal_addresses=False),
        stamp=Stamp(
            wall_ms=0 if beside is None else beside.ts_ms, entropy=number.to_bytes(8, "big")
        ),
        session=None,
        policy=None,
    )


def _only(rows: sqlite3.Cursor) -> Record | None:
    row = rows.fetchone()
    if row is None:
        return None
    found = _decoded(row)
    if isinstance(found, Unreadable):
        raise CorruptRecord(found.session_id, found.number, found.why)
    return found


def _decoded(row: _Row) -> Record | Unreadable:
    number, session_id, version, ownership_epoch, form, expected_sum, encoded = row
    name = SessionNumber(number)
    try:
        record = decode_record(encoded, number=name, form=form, expected_sum=expected_sum)
    except Unintelligible as error:
        return Unreadable(session_id=SessionId(session_id), number=name, why=str(error))
    session = record.session
    told = (session.session_id, signed(session.version), signed(session.ownership_epoch))
    if told != (session_id, version, ownership_epoch):
        why = "the record is damaged: it does not fit its row"
        return Unreadable(session_id=SessionId(session_id), number=name, why=why)
    return record
