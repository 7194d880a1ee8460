"""Opening a log only to read it, also while its writer runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from audit.errors import LogFormatError
from audit.export.layout import FACTS, SUMS
from audit.export.source import ExportRows
from audit.export.subjects import ExportKeys
from audit.rows import LogRows, Records
from audit.subject import RecordKeys
from audit.vault import Vault

DATABASE = "audit.db"


@contextmanager
def open_records(folder: Path) -> Iterator[Records]:
    """Open a log or an export to read it.

    Args:
        folder: of the log or of the export.

    Raises:
        LogFormatError: if there is neither.
    """
    if (folder / FACTS).exists() or (folder / SUMS).exists():
        yield ExportRows(folder)
    else:
        with open_rows(folder) as rows:
            yield rows


def subject_keys(rows: Records, folder: Path, erased: Mapping[bytes, int]) -> RecordKeys:
    """Where the keys of records about subjects are found: beside the log, or in the export.

    Args:
        rows: the log or the export.
        folder: of it.
        erased: index of the record of an erasure, by the id of the erased subject.
    """
    if isinstance(rows, ExportRows):
        return ExportKeys(rows, frozenset(erased.values()))
    return Vault(folder, erased)


@contextmanager
def open_rows(folder: Path) -> Iterator[LogRows]:
    """Open a log's database read-only.

    A database that no writer has open is read as it lies there, so that nothing is written beside
    it: it may be evidence, or on a disk that can not be written.

    Args:
        folder: the log's folder.

    Raises:
        LogFormatError: if there is no log.
    """
    path = folder / DATABASE
    if not path.is_file():
        raise LogFormatError(
            f"{folder} holds no {DATABASE}. Give the folder of a log or an export."
        )
    in_use = any(path.with_name(DATABASE + end).exists() for end in ("-wal", "-shm"))
    mode = "mode=ro" if in_use else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?{mode}", uri=True, isolation_level=None
        )
    except sqlite3.Error as error:
        raise LogFormatError(f"{path} can not be opened: {error}.") from error
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        _probe(connection, path)
        yield LogRows(connection)
    finally:
        connection.close()


def _probe(connection: sqlite3.Connection, path: Path) -> None:
    """Tell a database that can not be read here from one that is damaged.

    Raises:
        LogFormatError: if it can not be read here; damage is left for the verification to report.
    """
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        raise LogFormatError(
            f"{path} can not be read here: {error}. Copy the whole folder of the log to a disk "
            "that you can write to, and give that copy."
        ) from error
    except sqlite3.DatabaseError:
        return
