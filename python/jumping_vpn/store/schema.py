"""The SQLite file: its tables, how an older file becomes a newer one, and what is refused.

A file is made whole under another name and then renamed, so that a file of this name which is empty
or lacks its tables is damage and never a store that was about to be made.
"""

import os
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from jumping_vpn.store.contract import (
    StoreCorrupted,
    StoreRefused,
    StoreTooNew,
    StoreUnavailable,
)

APPLICATION_ID: Final = 0x4A56504E
PRIVATE: Final = 0o600

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE sessions (
        number INTEGER PRIMARY KEY,
        session_id BLOB NOT NULL UNIQUE,
        state TEXT NOT NULL,
        version INTEGER NOT NULL,
        owner INTEGER NOT NULL,
        ownership_epoch INTEGER NOT NULL,
        ends_wall_ms INTEGER,
        format INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    CREATE INDEX sessions_by_end ON sessions (ends_wall_ms);
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        event BLOB NOT NULL
    ) STRICT;
    CREATE TABLE cursors (
        name TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        digest TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE nodes (
        node INTEGER PRIMARY KEY,
        incarnation INTEGER NOT NULL,
        lease_incarnation INTEGER,
        lease_ends_wall_ms INTEGER
    ) STRICT;
    CREATE TABLE counters (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO counters (name, value) VALUES ('number', 0), ('settled', 0);
    """,
)
"""What makes version n+1 of the schema out of version n; append-only."""


SETTINGS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = FAST",
    "wal_autocheckpoint = 2000",
)
"""What every connection that writes is set to."""


def prepare(path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Make the file if there is none, check it if there is, and bring it to the newest version."""
    try:
        if not path.exists():
            _make(path, migrations)
        found = _check(path)
        if found > len(migrations):
            raise StoreTooNew(
                path, f"schema version {found} is newer than {len(migrations)}, the newest known"
            )
        if found < len(migrations):
            with closing(connect(path)) as connection:
                _migrate(connection, migrations[found:], start=found)
    except (OSError, sqlite3.OperationalError) as error:
        raise StoreUnavailable(f"{path}: {error}") from error


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that acknowledges a commit only when it is on the disk."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5
    )
    try:
        for setting in SETTINGS:
            connection.execute(f"PRAGMA {setting}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot change the file, not even when it is closed."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=5,
    )


def _make(path: Path, migrations: Sequence[str]) -> None:
    orphan = path.with_name(path.name + "-wal")
    if orphan.exists():
        raise StoreCorrupted(path, f"is missing, but {orphan.name} is there")
    unfinished = path.with_name(path.name + ".new")
    for stale in (unfinished, Path(f"{unfinished}-wal"), Path(f"{unfinished}-shm")):
        stale.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    with closing(connect(unfinished)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _migrate(connection, migrations, start=0)
    unfinished.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _migrate(connection: sqlite3.Connection, scripts: Sequence[str], *, start: int) -> None:
    for version, script in enumerate(scripts, start=start + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {version}; COMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise


def _check(path: Path) -> int:
    """Return the schema version of a whole file; nothing on the disk changes."""
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise StoreRefused(path, f"has mode {mode:04o}, expected 0600: run chmod 600 {path}")
    if found.st_size == 0:
        raise StoreCorrupted(path, "is empty")
    index = path.with_name(path.name + "-shm")
    had_index = index.exists()
    try:
        return _read_version(path)
    except StoreCorrupted:
        if not had_index:
            # SQLite made it to read the log; what is damaged is left as it was found.
            index.unlink(missing_ok=True)
        raise


def _read_version(path: Path) -> int:
    connection = connect_read_only(path)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise StoreCorrupted(path, "is no store of this program")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreCorrupted(path, f"is damaged: {verdict}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise StoreCorrupted(path, f"is damaged: {error}") from error
    finally:
        connection.close()
    return int(version)
