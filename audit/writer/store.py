"""audit.db: records, checkpoints and tree nodes become durable, one transaction a batch."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from audit.errors import NotDurableError, ReadOnlyError
from audit.rows import LogRows, Row
from audit.writer.files import sync_folder

_BUSY: Final = 1.0  # seconds to wait for somebody who holds the database
_APPLICATION_ID: Final = 0x534C4131  # "SLA1"

_TABLES: Final = """
CREATE TABLE log (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE leaves (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL CHECK (length(leaf) = 200)) STRICT;
CREATE UNIQUE INDEX leaves_by_event ON leaves (substr(leaf, 57, 16));
CREATE INDEX leaves_of_witnesses ON leaves (idx) WHERE substr(leaf, 5, 1) = x'0e';
CREATE INDEX leaves_of_decisions ON leaves (idx) WHERE substr(leaf, 5, 1) IN (x'09', x'0a');
CREATE INDEX leaves_of_prunes ON leaves (idx) WHERE substr(leaf, 5, 1) = x'0b';
CREATE TABLE blobs (idx INTEGER PRIMARY KEY, meta BLOB, content BLOB) STRICT;
CREATE TABLE nodes (level INTEGER, position INTEGER, hash BLOB NOT NULL,
                    PRIMARY KEY (level, position)) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE unanswered (event BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
"""
_PRUNING: Final = (
    "WHEN NEW.content IS NOT NULL OR NEW.idx IS NOT OLD.idx OR NEW.meta IS NOT OLD.meta "
)
_APPEND_ONLY: Final = ("log", "leaves", "blobs", "nodes", "checkpoints")


@dataclass(slots=True)
class Batch:
    """What one transaction adds."""

    rows: list[Row] = field(default_factory=list)
    nodes: list[tuple[int, int, bytes]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)  # events of prompts
    answered: list[bytes] = field(default_factory=list)  # events of prompts that have their answer
    pruned: list[tuple[int, int]] = field(default_factory=list)  # ranges that lose their contents


class Store:
    """The open database; used by one thread."""

    def __init__(self, path: Path) -> None:
        """Open the database, or make it.

        Args:
            path: the database file; made if it does not exist.

        Raises:
            NotDurableError: if the disk refuses.
            ReadOnlyError: if the file is no database of this format.
        """
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        with _translated(path):
            self._connection = _connect(path)
        self.rows = LogRows(self._connection)
        self._file = _inode(path)
        self._wal_file = _inode(self._wal)

    def commit(self, batch: Batch) -> None:
        """Bring a batch to the disk, whole or not at all.

        Raises:
            NotDurableError: if the disk refuses; whether the batch is stored is then not known.
            ReadOnlyError: if the database was removed, replaced or damaged.
        """
        with _translated(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._insert(batch)
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self.check_place()

    def check_place(self) -> None:
        """Check that the open files still stand under their names: a deleted one takes writes too.

        Raises:
            ReadOnlyError: if one was removed or replaced.
        """
        if self._wal_file is None:
            self._wal_file = _inode(self._wal)
        for path, opened in ((self._path, self._file), (self._wal, self._wal_file)):
            if opened is None or _inode(path) != opened:
                raise ReadOnlyError(
                    f"{path} was removed or replaced while the writer runs. Keep what is there, "
                    "restore the file and restart the writer."
                )

    def scrub(self) -> None:
        """Cut the WAL off, which still holds what was taken out.

        Raises:
            NotDurableError: if the disk refuses.
            ReadOnlyError: if the database is damaged.
        """
        with _translated(self._path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def unanswered(self) -> list[bytes]:
        """Events of prompts that have no answer yet."""
        return [bytes(event) for (event,) in self._connection.execute("SELECT * FROM unanswered")]

    def close(self) -> None:
        """Close the database; the last one to close it folds the -wal file in."""
        self._connection.close()

    def _insert(self, batch: Batch) -> None:
        many = self._connection.executemany
        many("INSERT INTO log VALUES (?, ?)", batch.facts.items())
        many("INSERT INTO leaves VALUES (?, ?)", ((row.index, row.leaf) for row in batch.rows))
        many("INSERT INTO blobs VALUES (?, ?, ?)", _blob_rows(batch.rows))
        many("INSERT INTO nodes VALUES (?, ?, ?)", batch.nodes)
        many("INSERT INTO checkpoints VALUES (?, ?)", batch.notes)
        many("INSERT INTO unanswered VALUES (?)", ((event,) for event in batch.asked))
        many("UPDATE blobs SET content = NULL WHERE idx >= ? AND idx < ?", batch.pruned)
        many("DELETE FROM unanswered WHERE event = ?", ((event,) for event in batch.answered))


def _blob_rows(rows: Sequence[Row]) -> Iterator[tuple[int, bytes | None, bytes | None]]:
    for row in rows:
        if row.meta is not None or row.content is not None:
            yield row.index, row.meta, row.content


def _connect(path: Path) -> sqlite3.Connection:
    if not path.exists():
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        # The group may read what is sealed, if the folder lets it in; SQLite's own files follow.
        os.fchmod(file, 0o640)
        os.close(file)
        sync_folder(path.parent)
    connection = sqlite3.connect(
        path, timeout=_BUSY, isolation_level=None, check_same_thread=False, cached_statements=32
    )
    try:
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "wal_autocheckpoint = 1000",
            "cache_size = -4096",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        _prepare(connection, path)
        # Whatever a failed commit left in the page cache only is now written out and synced.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in an empty file, or check that they are ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == _APPLICATION_ID:
        return
    if tables:
        raise ReadOnlyError(f"{path} is not a log of this format. Restore audit.db.")
    guards = "".join(
        f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
        f"{_PRUNING if (table, action) == ('blobs', 'UPDATE') else ''}"
        f"BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;\n"
        for table in _APPEND_ONLY
        for action in ("UPDATE", "DELETE")
    )
    marks = f"PRAGMA application_id = {_APPLICATION_ID};\n"
    connection.executescript(f"BEGIN IMMEDIATE;\n{_TABLES}{guards}{marks}COMMIT;")


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino) if found.st_nlink else None


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the kernel say into the two errors that a caller can act on."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise NotDurableError(
            f"{path} can not be written: {error}. Check the disk; "
            "the log resumes by itself once it can write."
        ) from error
    except sqlite3.DatabaseError as error:
        raise ReadOnlyError(
            f"{path} is damaged: {error}. Stop the writer and restore the newest audit.db with "
            "its -wal file."
        ) from error
