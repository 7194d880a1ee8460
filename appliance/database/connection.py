"""Opening the app database and its two kinds of transaction."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

_BUSY_MS = 5000
# More than gunicorn's default threads of a worker, so that no request waits for a connection.
_POOL_SIZE = 16
_POOL_EXTRA = 48

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA busy_timeout = {_BUSY_MS}",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA secure_delete = ON",
)


@dataclass(frozen=True)
class Database:
    """The app database: an engine and its two kinds of session."""

    engine: Engine
    _reading: sessionmaker[Session]
    _writing: sessionmaker[Session]

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads; it never waits for a writer."""
        with self._reading.begin() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that takes the write lock at its start, and commits when the block ends.

        Taken at the start because SQLite can not turn a read lock into a write lock while another
        writer is at work: the second one would fail at once instead of waiting (sqlite.org,
        "BEGIN IMMEDIATE").
        """
        with self._writing.begin() as session:
            # A session asks for its connection at its first statement; the lock is wanted now.
            session.connection()
            yield session

    def ping(self) -> None:
        """Ask the database for nothing; raises SQLAlchemy's error when it does not answer."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open the app database.

    Args:
        url: SQLAlchemy URL, such as `sqlite:////var/lib/cloister/web/app.db`. The file and its
            folder are made when missing, readable by their owner only.

    Returns:
        The database. Its tables are made by `upgrade`.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _make_file(parsed)
    engine = create_engine(parsed, pool_size=_POOL_SIZE, max_overflow=_POOL_EXTRA)
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    writing = engine.execution_options(cloister_begin="BEGIN IMMEDIATE")
    return Database(
        engine,
        sessionmaker(engine, expire_on_commit=False),
        sessionmaker(writing, expire_on_commit=False),
    )


def _make_file(url: URL) -> None:
    if url.database is None or url.database == ":memory:":
        raise ValueError("the app database must be a file: an in-memory one is empty per thread")
    path = Path(url.database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite would make the file with the process's umask, and the WAL with the file's mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN comes too late for us (before the first INSERT), see _begin_sqlite.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("cloister_begin", "BEGIN"))
