"""Opening a log's files, and refusing those that do not hold together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from audit.errors import LogFormatError, NoteFormatError, NoteSignatureError, ReadOnlyError
from audit.head import HeadLog, compare_head
from audit.leaf import NO_HASH
from audit.merkle import Frontier
from audit.outside import last_word
from audit.payloads import EpochLimits
from audit.retention import Days
from audit.rows import FORMAT, LogRows
from audit.writer.epoch import LastEpoch, check_ending, last_epoch
from audit.writer.store import Store

DATABASE: Final = "audit.db"


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Where a log lives and how long its epochs last.

    Attributes:
        folder: holds audit.db, keys/, grants/ and log.vkey.
        head: the head file, best on another filesystem.
        officers: the officers' file.
        origin: name of the log.
        limits: how long its epochs last.
        retention: days that contents are kept, by class.
    """

    folder: Path
    head: Path
    officers: Path
    origin: str
    limits: EpochLimits = field(default_factory=EpochLimits)
    retention: Days = field(default_factory=dict)

    @property
    def database(self) -> Path:
        """The database file."""
        return self.folder / DATABASE


@dataclass(slots=True)
class OpenLog:
    """The open files of a log and where it stands.

    Attributes:
        store: the database.
        head: the head file.
        last: its newest epoch, None while it is empty.
        tree: right edge of the tree.
        prev: hash of the last leaf.
        vkey: verifier key of its first epoch, empty while it is empty.
        checkpoint: the newest signed note.
        witnessed: size that a witness saw last, and when, in seconds since 1970.
    """

    store: Store
    head: HeadLog
    last: LastEpoch | None = None
    tree: Frontier = field(default_factory=Frontier)
    prev: bytes = NO_HASH
    vkey: str = ""
    checkpoint: str = ""
    witnessed: tuple[int, int | None] = (0, None)

    def close(self) -> None:
        """Close both files."""
        self.store.close()
        self.head.close()


def open_log(settings: JournalSettings) -> OpenLog:
    """Open database and head, compare them, and bring the head level if it lags.

    Raises:
        NotDurableError: if the disk refuses.
        ReadOnlyError: if they do not hold together.
        SecondWriterError: if another writer holds the head.
    """
    head = HeadLog(settings.head)
    try:
        note = head.last()
        if note is not None and not settings.database.exists():
            raise ReadOnlyError(
                f"{settings.database} is missing, but {settings.head} knows the log. Restore it; "
                "see “When the writer refuses” in docs/spec/audit-log.md."
            )
        store = Store(settings.database)
    except BaseException:
        head.close()
        raise
    log = OpenLog(store, head)
    try:
        compare_head(store.rows, note, settings.head)
        _adopt(log, settings)
        if log.checkpoint and log.checkpoint != note:
            head.append(log.checkpoint)
    except BaseException:
        log.close()
        raise
    return log


def _adopt(log: OpenLog, settings: JournalSettings) -> None:
    """Take over size, tree and identity from the database."""
    rows = log.store.rows
    log.last = last_epoch(rows)
    if log.last is None:
        return
    facts, size = rows.facts(), rows.size()
    if facts.get("format") != FORMAT:
        raise ReadOnlyError(
            f"{settings.folder} holds a log of the format {facts.get('format')}; this version "
            f"writes {FORMAT}. Move the folder and {settings.head} to the archive and start a new "
            "log; verify the old one with the release that wrote it."
        )
    if facts.get("origin") != settings.origin:
        raise ReadOnlyError(
            f"{settings.folder} holds the log {facts.get('origin')}, not {settings.origin}. "
            "Start the writer with that --origin, or use another --dir."
        )
    newest = rows.last_checkpoint()
    log.tree = rows.frontier(size)
    log.prev = log.last.last_hash
    log.vkey = facts["vkey"]
    log.checkpoint = newest[1] if newest else ""
    log.witnessed = _witnessed(rows)
    check_ending(log.last, log.checkpoint, size, log.tree.root())


def _witnessed(rows: LogRows) -> tuple[int, int | None]:
    try:
        word = last_word(rows)
    except (LogFormatError, NoteFormatError, NoteSignatureError) as error:
        raise ReadOnlyError(
            f"The newest word of a witness does not read: {error}. Verify the log."
        ) from error
    return (0, None) if word is None else (word.size, word.when)
