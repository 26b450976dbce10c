"""SQLite stores as tests open them: for a while, and with a disk whose answers are in doubt."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jumping_vpn.store.schema import connect
from jumping_vpn.store.sqlite import SqliteStore
from jumping_vpn.store.writer import Connect


@asynccontextmanager
async def opened(path: Path, connect: Connect = connect) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, open_connection=connect)
    yield store
    await store.close()


class Doubtful(sqlite3.Connection):
    """Fails at a commit, after it happened or before, as a disk that answers with an error may."""

    commits_first = True
    armed = False

    def execute(self, statement: str, *args: object) -> sqlite3.Cursor:  # type: ignore[override]
        if statement == "COMMIT" and Doubtful.armed:
            Doubtful.armed = False
            if Doubtful.commits_first:
                super().execute(statement)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return super().execute(statement, *args)


def connect_doubtfully(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, factory=Doubtful
    )
    connection.execute("PRAGMA synchronous = FULL")
    return connection
