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
from audit.subject import KEY_SIZE, RecordKeys

KIND: Final = "subjects"
_ERASED: Final = "erased"


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
    try:
        word = keys.record_key(leaf.index, row.content).hex()
    except ErasedError as error:
        word = f"{_ERASED} {error.by}"
    except KeyFileError:
        return
    yield f"{leaf.index} {word}\n".encode()


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
        self._lines: dict[int, list[str]] = {}

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
        match self._lines.get(index, []):
            case [word, by] if word == _ERASED and by.isdigit() and int(by) in self._erasures:
                raise ErasedError(int(by))
            case [key] if len(key) == 2 * KEY_SIZE:
                return bytes.fromhex(key)
        raise KeyFileError("it is about a subject, and the export has no key for it")

    def _read(self, tile: int) -> dict[int, list[str]]:
        width = min(TILE, self._export.size() - tile * TILE)
        try:
            text = self._export.read(tile_path(KIND, tile, width)).decode("ascii", "replace")
            lines = [line.split(" ") for line in text.splitlines()]
            return {int(words[0]): words[1:] for words in lines}
        except (LogFormatError, ValueError):
            return {}
