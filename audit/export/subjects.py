"""Keys in an export for its records about subjects: one line a record, and never a subject's key.

A line is `<index> <key in hexadecimal>`, or `<index> erased <index of the record of the erasure>`.
What an export holds of a subject opens to the officers also after a later erasure: it can not be
called back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from audit.errors import ErasedError, KeyFileError, LogFormatError
from audit.export.layout import TILE, ExportFacts, tile_path
from audit.export.source import ExportRows
from audit.leaf import NO_HASH, Leaf, LeafFlag
from audit.rows import LogRows
from audit.subject import RecordKeys, key_of_word, word_of

KIND: Final = "subjects"


def subject_lines(
    rows: LogRows, leaves: Sequence[Leaf], facts: ExportFacts, keys: RecordKeys
) -> list[bytes]:
    """The lines of one file, for the exported records about subjects among these leaves.

    Args:
        rows: the log's database.
        leaves: of the file, in order.
        facts: what is exported.
        keys: of subjects.

    A key that is lost has no line.
    """
    return [line for leaf in leaves for line in _line(rows, leaf, facts, keys)]


def _line(rows: LogRows, leaf: Leaf, facts: ExportFacts, keys: RecordKeys) -> Iterator[bytes]:
    bound = leaf.flags & LeafFlag.SUBJECT_BOUND and leaf.content_hash != NO_HASH
    if not bound or not facts.first <= leaf.index < facts.end:
        return
    (row,) = rows.rows(leaf.index, leaf.index + 1)
    if row.content is None:
        return
    found: bytes | ErasedError
    try:
        found = keys.record_key(leaf.index, row.content)
    except ErasedError as error:
        found = error
    except KeyFileError:
        return
    yield f"{leaf.index} {word_of(found)}\n".encode()


class ExportKeys:
    """The keys of an export's records about subjects."""

    def __init__(self, export: ExportRows, erasures: frozenset[int]) -> None:
        """Prepare; each file is read when its first record is opened.

        Args:
            export: the export.
            erasures: indexes of the records of erasures.
        """
        self._export = export
        self._erasures = erasures
        self._tile = -1
        self._lines: dict[int, str] = {}

    def record_key(self, index: int, blob: bytes) -> bytes:
        """The key of a record about a subject.

        Args:
            index: the record's place in the log.
            blob: its content blob.

        Raises:
            ErasedError: if the subject had been erased when the export was made.
            KeyFileError: if the key is not here.
        """
        if index // TILE != self._tile:
            self._tile = index // TILE
            self._lines = self._read(self._tile)
        try:
            return key_of_word(self._lines.get(index, ""))
        except ErasedError as error:
            if error.by in self._erasures:
                raise
            raise KeyFileError(
                f"the export says that record {error.by} erased its subject, which it did not"
            ) from error

    def _read(self, tile: int) -> dict[int, str]:
        width = min(TILE, self._export.size() - tile * TILE)
        try:
            text = self._export.read(tile_path(KIND, tile, width)).decode("ascii", "replace")
            lines = [line.partition(" ") for line in text.splitlines()]
            return {int(index): word for index, _, word in lines}
        except (LogFormatError, ValueError):
            return {}
