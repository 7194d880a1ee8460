"""keys.db: a key for each subject, wrapped under a key that is exchanged at every erasure.

An erasure deletes the subject's row, wraps all other keys under a new key and destroys the old one:
so whatever the disk still holds of the row, in free pages, a WAL, a back-up, opens to nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from audit.errors import KeyFileError, NotDurableError, ReadOnlyError
from audit.secret import random_secret
from audit.subject import ID_SIZE, KEY_SIZE, Subject, bond, handle
from audit.vault import KEYS, KEYS_VERSION, SHRED, kek_path, read_kek
from audit.writer.files import sync_folder, write_durably

_BUSY: Final = 5.0  # seconds to wait for somebody who reads the file
_KEPT: Final = 10_000  # subjects that are remembered between batches

_TABLES: Final = """
CREATE TABLE state (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE subjects (handle BLOB PRIMARY KEY, id BLOB NOT NULL UNIQUE, key BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
"""


class Subjects:
    """The keys of all subjects; used by one thread."""

    def __init__(self, folder: Path) -> None:
        """Say where they are; `open` opens them.

        Args:
            folder: the log's folder.
        """
        self._folder = folder
        self._path = folder / KEYS
        self._database: sqlite3.Connection | None = None
        self._known: dict[bytes, Subject] = {}
        self._generation = 0
        self._kek = self._link = b""

    def open(self, *, fresh: bool) -> bool:
        """Open the file; where neither it nor its key exists, make both.

        Args:
            fresh: whether the log is empty, so that what is left of an interrupted start may go.

        Returns:
            Whether keys were made for a log that has records already: those it had are lost.

        Raises:
            KeyFileError: if file and key do not belong together.
            NotDurableError: if the disk refuses.
        """
        self.close()
        with self._translated():
            keks = list((self._folder / SHRED).glob("kek-*"))
            make = fresh or (not self._path.exists() and not keks)
            if make:
                self._make()
            elif not self._path.exists():
                raise KeyFileError(
                    f"{self._path} is missing. Restore it. If it is lost, what was said about "
                    f"subjects stays sealed for ever; to go on with new keys remove {keks[0]}."
                )
            self._database = _connect(self._path)
            self._load()
            self._destroy_other_keks()
            self._scrub()
        return make and not fresh

    def close(self) -> None:
        """Close the file and forget the keys."""
        if self._database is not None:
            self._database.close()
        self._database = None
        self._known.clear()

    def ensure(self, names: Iterable[str | None]) -> dict[str | None, Subject]:
        """The subjects of these names; those that are new get a durable key first.

        Raises:
            NotDurableError: if the disk refuses.
        """
        found: dict[str | None, Subject] = {}
        fresh: list[tuple[bytes, bytes, bytes]] = []
        for name in set(names) - {None}:
            place = handle(self._link, name or "")
            subject = self._find(place)
            if subject is None:
                subject = Subject(os.urandom(ID_SIZE), bytes(random_secret(KEY_SIZE)))
                fresh.append((place, subject.ident, aes_key_wrap(self._kek, subject.key)))
            found[name] = subject
        if fresh:
            with self._translated(), self._transaction() as database:
                database.executemany("INSERT INTO subjects VALUES (?, ?, ?)", fresh)
        return found

    def find(self, name: str) -> Subject | None:
        """The subject of this name, None if the log has no record about it."""
        return self._find(handle(self._link, name))

    def key_of(self, ident: bytes) -> bytes | None:
        """The key of the subject with this id, None if there is none any more."""
        with self._translated():
            one = "SELECT key FROM subjects WHERE id = ?"
            row = self._open.execute(one, (ident,)).fetchone()
            return None if row is None else aes_key_unwrap(self._kek, row[0])

    def ident_of(self, index: int, blob: bytes) -> bytes:
        """The id of the subject that a record is about, also of an erased one.

        Args:
            index: the record's place in the log.
            blob: its content blob, or the beginning of it.
        """
        return bond(self._link, blob[:ID_SIZE], index)

    def bond(self, subject: Subject, index: int) -> bytes:
        """What goes in front of the content of a record about a subject."""
        return bond(self._link, subject.ident, index)

    def among(self, idents: Iterable[bytes]) -> list[bytes]:
        """Those of these ids whose keys still exist."""
        with self._translated():
            one = "SELECT 1 FROM subjects WHERE id = ?"
            return [ident for ident in idents if self._open.execute(one, (ident,)).fetchone()]

    def erase(self, idents: Collection[bytes]) -> None:
        """Erase subjects' keys for good.

        Raises:
            NotDurableError: if the disk refuses; call it again.
        """
        generation = self._generation + 1
        new = bytes(random_secret(KEY_SIZE))
        with self._translated():
            write_durably(kek_path(self._folder, generation), new, 0o600)
            with self._transaction() as database:
                gone = [(ident,) for ident in idents]
                database.executemany("DELETE FROM subjects WHERE id = ?", gone)
                database.create_function("rewrap", 1, lambda key: _rewrap(self._kek, new, key))
                database.execute("UPDATE subjects SET key = rewrap(key)")
                state = [(aes_key_wrap(new, self._link), "link"), (generation, "generation")]
                database.executemany("UPDATE state SET value = ? WHERE name = ?", state)
            self._generation, self._kek = generation, new
            self._known.clear()
            self._destroy_other_keks()
            self._scrub()

    @property
    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise NotDurableError(f"{self._path} is not open at the moment. It resumes by itself.")
        return self._database

    def _find(self, place: bytes) -> Subject | None:
        known = self._known.get(place)
        if known is None:
            with self._translated():
                row = self._open.execute(
                    "SELECT id, key FROM subjects WHERE handle = ?", (place,)
                ).fetchone()
            if row is None:
                return None
            if len(self._known) >= _KEPT:
                self._known.clear()
            known = self._known[place] = Subject(row[0], aes_key_unwrap(self._kek, row[1]))
        return known

    def _make(self) -> None:
        """A new key and an empty file; the file takes its name when it is whole."""
        for path in self._folder.glob(f"{KEYS}*"):
            path.unlink()
        (self._folder / SHRED).mkdir(mode=0o700, exist_ok=True)
        kek, link = bytes(random_secret(KEY_SIZE)), bytes(random_secret(KEY_SIZE))
        write_durably(kek_path(self._folder, 0), kek, 0o600)
        fresh = self._path.with_name(f"{KEYS}.new")
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        database = _connect(fresh)
        try:
            database.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {KEYS_VERSION};COMMIT;")
            state = {"generation": 0, "link": aes_key_wrap(kek, link)}
            database.executemany("INSERT INTO state VALUES (?, ?)", state.items())
        finally:
            database.close()
        fresh.replace(self._path)
        sync_folder(self._folder)

    def _load(self) -> None:
        (version,) = self._open.execute("PRAGMA user_version").fetchone()
        if version != KEYS_VERSION:
            raise KeyFileError(f"{self._path} is not of this version. Restore the newest copy.")
        state = dict(self._open.execute("SELECT name, value FROM state"))
        self._generation = int(state["generation"])
        self._kek = read_kek(self._folder, self._generation)
        try:
            self._link = aes_key_unwrap(self._kek, state["link"])
        except InvalidUnwrap as error:
            raise KeyFileError(
                f"{self._path} does not open under {kek_path(self._folder, self._generation)}. "
                "Restore the two that belong together."
            ) from error

    def _destroy_other_keks(self) -> None:
        current = kek_path(self._folder, self._generation)
        for path in (self._folder / SHRED).glob("kek-*"):
            if path != current:
                with path.open("r+b", buffering=0) as file:
                    file.write(bytes(path.stat().st_size))
                    os.fsync(file.fileno())
                path.unlink()
        sync_folder(self._folder / SHRED)

    def _scrub(self) -> None:
        """Fold the WAL in and cut it off, since it holds pages as they were before."""
        self._open.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._open
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise NotDurableError(
                f"{self._path} can not be written: {error}. Check the disk; "
                "the log resumes by itself once it can write."
            ) from error
        except (sqlite3.DatabaseError, InvalidUnwrap) as error:
            raise ReadOnlyError(
                f"{self._path} is damaged: {error}. Stop the writer and restore the newest copy."
            ) from error


def _rewrap(old: bytes, new: bytes, wrapped: bytes) -> bytes:
    return aes_key_wrap(new, aes_key_unwrap(old, wrapped))


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "secure_delete = ON",
            "journal_mode = WAL",
            "synchronous = FULL",
        ):
            database.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        database.close()
        raise
    return database
