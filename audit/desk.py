"""What the officers' pages read of a log: sealed records, found blindly, and their proofs.

Nothing here can open a record: keys stay with the officers, and so does what they look for. Reading
goes in bounded steps, so that a search of a long log can be shown, gone on with and left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audit.client import AuditClient
from audit.cosign import Witness
from audit.errors import (
    AuditError,
    ExportError,
    LeafFormatError,
    LogFormatError,
    LogUnavailableError,
)
from audit.export.make import Exported, Progress, begun, between, make_export, whole
from audit.leaf import Leaf, LeafType
from audit.merkle import inclusion_path
from audit.onefile import build_tool
from audit.opening import EpochSpan
from audit.outside import Word, last_word
from audit.payloads import EpochOpen
from audit.proof import format_proof
from audit.reader import open_rows
from audit.rows import LogRows, Row
from audit.search import Query
from audit.socketkeys import SocketKeys
from audit.timestamp import make_query, with_stamp
from audit.window import Window
from audit.witness import WitnessRequest, make_request

STEP: Final = 20_000  # records that one step of a search looks at
SHOWN: Final = 50  # records that one step finds at most
_CHUNK: Final = 1024  # records read by one query


@dataclass(frozen=True, slots=True)
class Found:
    """One step of a search, newest records first.

    Attributes:
        rows: what was found, with the metadata blobs.
        below: the search goes on with the records below this one; None at the log's beginning.
        looked: records that this step looked at.
    """

    rows: tuple[Row, ...]
    below: int | None
    looked: int


@dataclass(frozen=True, slots=True)
class Proven:
    """One record and what shows that it stands in the log.

    Attributes:
        row: the record, with both blobs.
        proof: C2SP tlog-proof to the newest checkpoint.
        vkey_epoch: number of the epoch whose key signed that checkpoint.
        key: that epoch's raw public key.
        word: the newest word of a witness, or None.
    """

    row: Row
    proof: str
    vkey_epoch: int
    key: bytes
    word: Word | None


class Desk:
    """Reads one log, also while its writer runs."""

    def __init__(self, folder: Path, log: AuditClient | None = None) -> None:
        """Read a log; nothing is opened yet.

        Args:
            folder: of the log.
            log: the writer's client, for the keys that exports carry of records about subjects.
        """
        self._folder = folder
        self._log = log

    def epochs(self) -> list[EpochSpan]:
        """All epochs in order, with what their openings say.

        Raises:
            LogFormatError: if the log can not be read.
        """
        with self._rows() as rows:
            return list(_spans(rows, rows.size()))

    def find(
        self, query: Query, window: Window, below: int | None = None, *, step: int = STEP
    ) -> Found:
        """Look for records, from the newest to the oldest, until some are found or a step is done.

        Args:
            query: trapdoors by epoch; an epoch that it does not name is passed over.
            window: what stands in clear.
            below: look only at records below this one; None begins at the log's end.
            step: records to look at.

        Raises:
            LogFormatError: if the log can not be read.
        """
        with self._rows() as rows:
            size = rows.size()
            end = size if below is None else min(below, size)
            place, found = end, []
            while place > max(0, end - step):
                start = max(0, place - _CHUNK)
                for row in reversed(rows.marked(start, place)):
                    place = row.index
                    if query.wants(row) and window.holds(Leaf.unpack(row.leaf)):
                        found.append(row.index)
                        if len(found) == SHOWN:
                            return Found(_whole(rows, found), place or None, end - place)
                place = start
            return Found(_whole(rows, found), place or None, end - place)

    def records(self, indices: Sequence[int], *, contents: bool = False) -> list[Row]:
        """Some records with their metadata blobs, and with their content blobs if asked for.

        Raises:
            LogFormatError: if there is none at one of these places, or the log does not read.
        """
        with self._rows() as rows:
            found = []
            for index in indices:
                row = next(rows.rows(index, index + 1) if contents else rows.metadata(index), None)
                if row is None:
                    raise LogFormatError(f"There is no record {index}.")
                found.append(row)
            return found

    def record(self, index: int) -> Proven:
        """One record with its proof.

        Raises:
            LogFormatError: if there is no such record under a checkpoint, or the log does not read.
        """
        with self._rows() as rows:
            size, note = rows.last_checkpoint() or (0, "")
            if not 0 <= index < size:
                raise LogFormatError(f"There is no record {index} under a checkpoint.")
            (row,) = rows.rows(index, index + 1)
            proof = format_proof(index, inclusion_path(index, size, rows.node), note)
            signer = Leaf.unpack(rows.leaf(size - 1))
            opening = _opening(rows, signer.index - signer.seq)
            return Proven(row, proof, signer.epoch, opening.key, last_word(rows))

    def export(
        self, out: Path, since: int | None, until: int | None, progress: Progress
    ) -> Exported:
        """Write an export, or go on with the one that is in the folder already.

        Args:
            out: the export's folder.
            since: first moment whose sealed blobs are wanted, nanoseconds since 1970, or None.
            until: moment before which they end, or None.
            progress: told how far it is.

        Raises:
            ExportError: the folder holds something else, or its disk refuses.
            LogFormatError: if the log can not be read.
        """
        with self._rows() as rows:
            facts = begun(out) or between(rows, whole(rows), since, until)
            keys = None if self._log is None else SocketKeys(self._log)
            return make_export(rows, out, facts, progress, keys=keys, tool=build_tool())

    def checkpoint(self, size: int | None = None) -> str | None:
        """The signed checkpoint at this size, or the newest; None if there is none.

        Raises:
            LogFormatError: if the log can not be read.
        """
        with self._rows() as rows:
            if size is not None:
                return rows.checkpoint(size)
            newest = rows.last_checkpoint()
            return None if newest is None else newest[1]

    def witness_request(self, since: int | None) -> WitnessRequest:
        """What a witness is to sign, and why he may.

        Args:
            since: records that he saw last; None for what the log knows of its witnesses.

        Raises:
            LogFormatError: if the log can not be read, or has no checkpoint yet.
        """
        with self._rows() as rows:
            word = last_word(rows)
            known = {0, 0 if word is None else word.size}
            return make_request(rows, known if since is None else {since})

    def stamp_query(self) -> bytes:
        """A query for a time stamp of the newest checkpoint, DER.

        Raises:
            LogFormatError: if the log can not be read, or has no checkpoint yet.
        """
        with self._rows() as rows:
            size, note = rows.last_checkpoint() or (0, "")
            if not size:
                raise LogFormatError("The log has no checkpoint yet.")
            return make_query(note, size)

    def stamped(self, response: bytes, witnesses: Sequence[Witness]) -> str:
        """The checkpoint with a time stamp as a line; arguments and errors as `with_stamp`.

        Raises:
            LogFormatError: also if the log can not be read.
        """
        with self._readable() as rows:
            return with_stamp(rows, response, witnesses)

    def size_on_disk(self) -> int:
        """Bytes of the database: no export of it is much larger."""
        return sum(file.stat().st_size for file in self._folder.glob("audit.db*"))

    @contextmanager
    def _rows(self) -> Iterator[LogRows]:
        with self._readable() as rows:
            try:
                yield rows
            except (LogFormatError, ExportError, LogUnavailableError):
                raise
            except AuditError as error:
                raise LogFormatError(f"The log does not read: {error}. Verify it.") from error

    @contextmanager
    def _readable(self) -> Iterator[LogRows]:
        try:
            with open_rows(self._folder) as rows:
                yield rows
        except sqlite3.Error as error:
            raise LogFormatError(f"The log can not be read: {error}. Verify it.") from error


def _spans(rows: LogRows, size: int) -> Iterator[EpochSpan]:
    starts = rows.openings(0, size)
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], size], strict=True)):
        yield EpochSpan(number, _opening(rows, start), start, end)


def _opening(rows: LogRows, index: int) -> EpochOpen:
    (row,) = rows.rows(index, index + 1)
    leaf = Leaf.unpack(row.leaf)
    if leaf.kind is not LeafType.EPOCH_OPEN:
        raise LeafFormatError(f"record {index} does not open an epoch")
    return EpochOpen.parse(leaf.metadata_of(row.meta or b""))


def _whole(rows: LogRows, found: list[int]) -> tuple[Row, ...]:
    """The found records with their metadata; contents are not read."""
    return tuple(row for index in found for row in rows.metadata(index))
