"""Where everything stands in an export: C2SP tlog-tiles, with the sealed blobs beside them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from audit.errors import LogFormatError
from audit.leaf import LEAF_SIZE
from audit.rows import Row

FORMAT: Final = "cloister-audit-export/v1"
TILE: Final = 256  # hashes, entries or records in one file
LEVEL_BITS: Final = 8  # levels of the tree that one level of tiles covers

FACTS: Final = "export.json"
CHECKPOINT: Final = "log/checkpoint"
CHECKPOINTS: Final = "log/checkpoints"
SUMS: Final = "SHA256SUMS"

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


def pack_blobs(rows: Sequence[Row]) -> bytes:
    """A blob bundle: both lengths of each record, then the blobs; a length of 0 means none."""
    table = b"".join(_LENGTHS.pack(len(row.meta or b""), len(row.content or b"")) for row in rows)
    return table + b"".join((row.meta or b"") + (row.content or b"") for row in rows)


def unpack_blobs(data: bytes, count: int) -> tuple[list[tuple[bytes | None, bytes | None]], bool]:
    """The metadata and content blobs of a bundle, and whether nothing is left over or missing.

    A blob that is shorter than the table says comes out empty, which no record has.
    """
    place = count * _LENGTHS.size
    if len(data) < place:
        return [(None, None)] * count, False
    found = []
    for meta, content in _LENGTHS.iter_unpack(data[:place]):
        middle, end = place + meta, place + meta + content
        found.append((_piece(data, place, middle), _piece(data, middle, end)))
        place = end
    return found, place == len(data)


def _piece(data: bytes, start: int, end: int) -> bytes | None:
    if start == end:
        return None
    return data[start:end] if end <= len(data) else b""
