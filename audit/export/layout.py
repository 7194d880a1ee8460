"""Where everything stands in an export: C2SP tlog-tiles, with the sealed blobs beside them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from audit.blob import MAX_SEALED
from audit.errors import LogFormatError
from audit.leaf import LEAF_SIZE

FORMAT: Final = "cloister-audit-export/v1"
TILE: Final = 256  # hashes, entries or records in one file
LEVEL_BITS: Final = 8  # levels of the tree that one level of tiles covers

FACTS: Final = "export.json"
CHECKPOINT: Final = "log/checkpoint"
CHECKPOINTS: Final = "log/checkpoints"
SUMS: Final = "SHA256SUMS"

MAX_BLOB: Final = 2 * MAX_SEALED  # bytes; more than any blob has

_ENTRY: Final = struct.Struct(">H")
_LENGTHS: Final = struct.Struct(">II")
ENTRY_SIZE: Final = _ENTRY.size + LEAF_SIZE  # bytes


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What an export is.

    Attributes:
        origin: name of the log.
        vkey: verifier key of its first epoch.
        size: records of the log; the leaves of all of them are in the export.
        first: from this record on, the sealed blobs are in it too.
        end: up to before this record.
    """

    origin: str
    vkey: str
    size: int
    first: int
    end: int

    def to_json(self) -> str:
        """The facts as a file's text, always the same for the same export."""
        value = {
            "format": FORMAT,
            "origin": self.origin,
            "vkey": self.vkey,
            "size": self.size,
            "first": self.first,
            "end": self.end,
        }
        return json.dumps(value, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> ExportFacts:
        """Read them.

        Raises:
            LogFormatError: if this is no export of this format.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            if value["format"] != FORMAT:
                raise ValueError(value["format"])
            size, first, end = (int(value[name]) for name in ("size", "first", "end"))
            facts = cls(str(value["origin"]), str(value["vkey"]), size, first, end)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LogFormatError(f"{FACTS} is not that of an export of {FORMAT}") from error
        if not 0 <= first <= end <= size:
            raise LogFormatError(f"{FACTS} names records that there can not be")
        return facts


def tile_path(kind: str, number: int, width: int = TILE) -> str:
    """Path of a tile as tlog-tiles has it: three digits a folder, `.p/<width>` if it is not full.

    Args:
        kind: folder of the level or kind, as `log/tile/0`.
        number: the tile's place in it.
        width: how much of it there is.
    """
    digits = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        digits = f"x{number % 1000:03d}/{digits}"
    return f"{kind}/{digits}" + (f".p/{width}" if width < TILE else "")


def tiles(kind: str, count: int) -> Iterator[tuple[str, int, int]]:
    """The tiles of `count` things: path, first thing, and the end of it."""
    for start in range(0, count, TILE):
        end = min(start + TILE, count)
        yield tile_path(kind, start // TILE, end - start), start, end


def hash_tiles(size: int) -> Iterator[tuple[str, int, int, int]]:
    """The tiles of the tree: path, level of the hashes in it, first position, end position."""
    level = 0
    while size >> level:
        for path, start, end in tiles(f"log/tile/{level // LEVEL_BITS}", size >> level):
            yield path, level, start, end
        level += LEVEL_BITS


def pack_entries(leaves: Sequence[bytes]) -> bytes:
    """An entry bundle: each leaf behind its length."""
    return b"".join(_ENTRY.pack(len(leaf)) + leaf for leaf in leaves)


def unpack_entries(data: bytes, count: int) -> list[bytes]:
    """The leaves of an entry bundle; where a length is not a leaf's, what stands there is cut."""
    found = []
    for start in range(0, min(len(data), count * ENTRY_SIZE), ENTRY_SIZE):
        leaf = data[start + _ENTRY.size : start + ENTRY_SIZE]
        sound = data[start : start + _ENTRY.size] == _ENTRY.pack(LEAF_SIZE)
        found.append(leaf if sound else leaf[:-1])
    return found


def pack_lengths(lengths: Iterable[tuple[int, int]]) -> bytes:
    """The table in front of a blob bundle: lengths of metadata and content, 0 for none."""
    return b"".join(_LENGTHS.pack(meta, content) for meta, content in lengths)


def read_blobs(file: BinaryIO, count: int) -> Iterator[tuple[bytes | None, bytes | None]]:
    """The metadata and content blobs of a bundle, one record after the other.

    A blob that is shorter than the table says comes out empty, which no record has.

    Args:
        file: the bundle, at its beginning.
        count: records in it.
    """
    for meta, content in _table(file, count):
        yield _piece(file, meta), _piece(file, content)


def blobs_end(file: BinaryIO, count: int) -> int:
    """Length that a bundle must have by its table, in bytes."""
    return count * _LENGTHS.size + sum(meta + content for meta, content in _table(file, count))


def _table(file: BinaryIO, count: int) -> list[tuple[int, int]]:
    size = count * _LENGTHS.size
    return list(_LENGTHS.iter_unpack(file.read(size).ljust(size, b"\0")))


def _piece(file: BinaryIO, length: int) -> bytes | None:
    if not length:
        return None
    data = file.read(min(length, MAX_BLOB + 1))
    return data if len(data) == length else b""
