"""head.log: each signed checkpoint again, outside the database, on another filesystem.

A database whose tail was cut is consistent with itself, so something outside must know how far the
log went. Entries are signed notes, each followed by an empty line.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from audit.errors import NotDurableError, NoteFormatError, ReadOnlyError, SecondWriterError
from audit.note import read_checkpoint
from audit.rows import LogRows

ROTATE_AT: Final = 16 * 1024 * 1024  # bytes; about 80,000 checkpoints
_TAIL: Final = 64 * 1024  # bytes that surely hold the last entry
_ROOM: Final = 32 * 1024  # zero bytes that are written ahead; about 170 checkpoints
_SEPARATOR: Final = b"\n\n"
_SIGNATURE_START: Final = "\N{EM DASH} ".encode()


class HeadLog:
    """The head as the writer holds it: locked, and appended durably.

    While it is open it ends in zero bytes: an entry that overwrites those needs no change to the
    file's size, which would cost the disk a second turn.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it, lock it, and cut off a torn entry that a crash left.

        Args:
            path: the file; made empty if it does not exist.

        Raises:
            SecondWriterError: if another writer holds it.
            NotDurableError: if it can not be opened.
        """
        self._path = path
        self._open()

    def last(self) -> str | None:
        """The newest entry.

        Raises:
            ReadOnlyError: if what stands there are no checkpoints.
        """
        start = max(0, self._end - _TAIL)
        note, _ = _last_entry(os.pread(self._fd, self._end - start, start))
        if note is None and self._end:
            raise ReadOnlyError(f"{self._path} does not end in checkpoints. Restore it.")
        return note

    def append(self, note: str) -> None:
        """Add a checkpoint; it is on the disk when this returns.

        Raises:
            NotDurableError: if the disk refuses, or the file was removed or cut.
        """
        entry = note.encode() + b"\n"
        try:
            self._check_place()
            if self._end + len(entry) > self._room:
                self._extend()
            os.pwrite(self._fd, entry, self._end)
        except OSError as error:
            raise NotDurableError(
                f"{self._path} can not be written: {error.strerror}. Make room or restore it; "
                "the log resumes by itself."
            ) from error
        self._end += len(entry)

    def rotate(self, limit: int = ROTATE_AT) -> None:
        """Keep a file that is longer than `limit` bytes as `.1`, and go on after its last entry.

        Raises:
            NotDurableError: if the disk refuses.
        """
        note = self.last()
        if self._end <= limit or note is None:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(note.encode() + b"\n")
            kept = self._path.with_name(self._path.name + ".1")
            kept.unlink(missing_ok=True)
            os.link(self._path, kept)
            fresh.replace(self._path)
        except OSError as error:
            raise NotDurableError(
                f"{self._path} can not be rotated: {error.strerror}. Make room."
            ) from error
        self.close()
        self._open()

    def close(self) -> None:
        """Cut off the zero bytes and give the file and its lock back."""
        with suppress(OSError):  # a reader passes over them in any case
            os.ftruncate(self._fd, self._end)
        os.close(self._fd)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_DSYNC | os.O_CLOEXEC
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, flags, 0o640)
        except OSError as error:
            raise NotDurableError(
                f"{self._path} can not be opened: {error.strerror}. Check the disk."
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise SecondWriterError(
                f"{self._path} is held by another audit writer. Stop that one first."
            ) from error
        self._find_end()

    def _find_end(self) -> None:
        """Look from the back for the end of the last whole entry."""
        self._room = os.fstat(self._fd).st_size
        start = max(0, self._room - _ROOM - _TAIL)
        tail = os.pread(self._fd, self._room - start, start).rstrip(b"\0")
        note, whole = _last_entry(tail)
        # Where no entry is found nothing is cut: `last` then says that this is no head.
        self._end = start + (len(tail) if note is None and start + len(tail) > _TAIL else whole)
        os.ftruncate(self._fd, self._end)
        self._room = self._end

    def _extend(self) -> None:
        """Write zero bytes behind the end: written blocks, not reserved ones, are what is fast."""
        os.pwrite(self._fd, bytes(_ROOM), self._end)
        self._room = os.fstat(self._fd).st_size

    def _check_place(self) -> None:
        """Refuse to write to a file that was cut or no longer stands under its name."""
        here, named = os.fstat(self._fd), os.stat(self._path)
        if (here.st_dev, here.st_ino) != (named.st_dev, named.st_ino):
            raise OSError(errno.ESTALE, "it was removed or replaced while the writer runs")
        if here.st_size < self._room:
            raise OSError(errno.ESTALE, "it was cut while the writer runs")


def read_head(path: Path) -> Iterator[str]:
    """The whole entries of a head file, in order; a torn last one is left out.

    Args:
        path: the head file.
    """
    yield from split_notes(path.read_bytes())


def split_notes(data: bytes) -> Iterator[str]:
    """Signed notes that follow each other, each ended by an empty line.

    Args:
        data: a head file's bytes, or several notes.
    """
    pieces = data.rstrip(b"\0").split(_SEPARATOR)
    for text, signatures in zip(pieces[0:-1:2], pieces[1:-1:2], strict=False):
        yield (text + _SEPARATOR + signatures + b"\n").decode("utf-8", "replace")


def compare_head(rows: LogRows, note: str | None, head: Path) -> None:
    """Check that the database holds everything that the head has seen.

    The database may be ahead: a checkpoint goes to the database first.

    Args:
        rows: the database.
        note: the head's last entry.
        head: the head file, for the message.

    Raises:
        ReadOnlyError: if the database is shorter, or another log.
    """
    size = rows.size()
    if note is None:
        if rows.checkpoint_count(3) > 2:
            raise ReadOnlyError(
                f"{head} is empty or missing, but the database holds {size} records. Restore it, "
                "or follow “When the writer refuses” in docs/spec/audit-log.md."
            )
        return
    try:
        seen = read_checkpoint(note)
    except NoteFormatError as error:
        raise ReadOnlyError(f"{head} does not end in a checkpoint: {error}. Restore it.") from error
    if seen.size > size:
        raise ReadOnlyError(
            f"The database holds {size} records but {head} has seen {seen.size}: "
            f"{seen.size - size} are missing. Stop the writer and restore the newest audit.db "
            "with its -wal file. If it is lost, keep both as evidence and start a new log; see "
            "“When the writer refuses” in docs/spec/audit-log.md."
        )
    if rows.checkpoint(seen.size) != note:
        raise ReadOnlyError(
            f"The database and {head} disagree about the first {seen.size} records: one of them "
            "belongs to another log or was changed. Restore the pair that belongs together; see "
            "“When the writer refuses” in docs/spec/audit-log.md."
        )


def _last_entry(tail: bytes) -> tuple[str | None, int]:
    """The last whole entry, and how many bytes of the tail end with it."""
    pieces = tail.split(_SEPARATOR)
    torn = len(pieces.pop())
    if pieces and not pieces[-1].startswith(_SIGNATURE_START):
        torn += len(pieces.pop()) + len(_SEPARATOR)
    whole = len(tail) - torn
    if len(pieces) < 2:
        return None, whole
    note = pieces[-2] + _SEPARATOR + pieces[-1] + b"\n"
    return note.decode("utf-8", "replace"), whole
