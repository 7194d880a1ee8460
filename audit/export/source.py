"""Reading an export as if it were the log: the verifier walks through either."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from audit.errors import LogFormatError, NoteFormatError
from audit.export.layout import (
    CHECKPOINT,
    CHECKPOINTS,
    FACTS,
    TILE,
    ExportFacts,
    hash_tiles,
    read_blobs,
    tile_path,
    unpack_entries,
)
from audit.head import split_notes
from audit.note import read_checkpoint
from audit.rows import FORMAT, Row

_HASH: Final = 32  # bytes
_MAX_FILE: Final = 64 * 1024 * 1024  # bytes; a list of 600,000 files has about as many


class ExportRows:
    """Read access to an export's records; counterpart of `LogRows`."""

    kind = "export"

    def __init__(self, folder: Path) -> None:
        """Read from a folder; nothing is opened yet.

        Args:
            folder: the export.
        """
        self.folder = folder
        self._known: tuple[int, dict[int, str]] | None = None
        self._export: ExportFacts | None = None

    def export(self) -> ExportFacts:
        """What the export says that it is.

        Raises:
            LogFormatError: if it says nothing that can be.
        """
        if self._export is None:
            self._export = ExportFacts.parse(self.read(FACTS).decode("utf-8", "replace"))
        return self._export

    def facts(self) -> dict[str, str]:
        """What the log says about itself: `format`, `origin`, `vkey`."""
        said = self.export()
        return {"format": FORMAT, "origin": said.origin, "vkey": said.vkey}

    def size(self) -> int:
        """Records of the log, by its newest checkpoint."""
        return self._notes()[0]

    def extent(self) -> tuple[int, tuple[int, str] | None]:
        """Size and newest checkpoint."""
        return self.size(), self.last_checkpoint()

    def last_checkpoint(self) -> tuple[int, str] | None:
        """Size and note of the newest checkpoint."""
        size, notes = self._notes()
        return (size, notes[size]) if size in notes else None

    def checkpoint(self, size: int) -> str | None:
        """The note of the checkpoint at this size, or None."""
        return self._notes()[1].get(size)

    def checkpoints(self, above: int, upto: int) -> list[tuple[int, str]]:
        """Checkpoints with a size in (above, upto], in order."""
        _, notes = self._notes()
        return [(size, notes[size]) for size in sorted(notes) if above < size <= upto]

    def rows(self, start: int, end: int) -> Iterator[Row]:
        """The records from `start` up to before `end`, in order, as far as they are there."""
        size, said = self.size(), self.export()
        for tile in range(start // TILE, -(-end // TILE)):
            width = min(TILE, size - tile * TILE)
            leaves = unpack_entries(self._tile("log/tile/entries", tile, width), width)
            blobs = self._blobs(tile_path("blobs", tile, width), width)
            for index, (leaf, (meta, content)) in enumerate(
                zip(leaves, blobs, strict=False), tile * TILE
            ):
                if start <= index < end:
                    withheld = not said.first <= index < said.end
                    yield Row(index, leaf, meta, content, withheld)

    def index_of(self, event: bytes) -> int | None:
        """The index of the record with this event id, or None."""
        for row in self.rows(0, self.size()):
            if row.leaf[56:72] == event:
                return row.index
        return None

    def stored_nodes(self) -> Iterator[tuple[int, int, bytes]]:
        """The hashes in the tiles above the leaves, as (level, position, hash)."""
        for path, level, start, end in hash_tiles(self.size()):
            if level:
                data = self.read(path)
                for position in range(start, end):
                    place = (position - start) * _HASH
                    yield level, position, data[place : place + _HASH]

    def stray_blobs(self) -> list[int]:
        """None: a bundle has the blobs of its records and no others."""
        return []

    def read(self, path: str) -> bytes:
        """A file of the export that is held in memory: anything but blobs.

        Raises:
            LogFormatError: if it is missing, or no export has one so long.
        """
        with self.open(path) as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise LogFormatError(f"{path} is longer than it can be")
        return data

    def open(self, path: str) -> BufferedReader:
        """Open a file of the export.

        Raises:
            LogFormatError: if it is missing, or no plain file.
        """
        place = self.folder / path
        if place.is_symlink() or not place.is_file():
            raise LogFormatError(f"{path} is missing")
        try:
            return place.open("rb")
        except OSError as error:
            raise LogFormatError(f"{path} can not be read: {error.strerror}") from error

    def _blobs(self, path: str, width: int) -> Iterator[tuple[bytes | None, bytes | None]]:
        """The blobs of a bundle; none of any record where it is missing."""
        try:
            with self.open(path) as file:
                yield from read_blobs(file, width)
        except LogFormatError:
            yield from [(None, None)] * width

    def _tile(self, kind: str, number: int, width: int) -> bytes:
        try:
            return self.read(tile_path(kind, number, width))
        except LogFormatError:
            return b""

    def _notes(self) -> tuple[int, dict[int, str]]:
        """The size of the newest checkpoint, and all that are there by size."""
        if self._known is None:
            newest = self.read(CHECKPOINT).decode("utf-8", "replace")
            notes = {}
            for note in split_notes(self.read(CHECKPOINTS)):
                notes[_size(note)] = note
            size = _size(newest)
            if notes.get(size) != newest:
                raise LogFormatError(f"{CHECKPOINT} is not the newest of {CHECKPOINTS}")
            self._known = size, notes
        return self._known


def _size(note: str) -> int:
    try:
        return read_checkpoint(note).size
    except NoteFormatError as error:
        raise LogFormatError(f"{CHECKPOINTS} holds what is no checkpoint: {error}") from error
