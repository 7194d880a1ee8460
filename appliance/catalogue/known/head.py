"""The head of a GGUF: its key-value pairs and the number of its weights, without the weights.

Format: GGUF version 2 and 3, docs/gguf.md of the ggml project. The file is hostile input: every
count and length is checked against a bound before anything is allocated or skipped.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.catalogue.errors import GgufError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_PAIRS = 4_096  # key-value pairs; real files have some 30
_TENSORS = 65_536
_TEXT_BYTES = 1024 * 1024  # a chat template has some kilobytes
_KEY_BYTES = 65_535  # bound of the format
_ITEMS = 4_000_000  # of an array; the largest vocabularies have 300 thousand tokens
_DIMENSIONS = 4
_TEXT, _ARRAY, _BOOL = 8, 9, 7
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f"}
_NUMBERS |= {_BOOL: "<?", 10: "<Q", 11: "<q", 12: "<d"}


@dataclass(frozen=True)
class Array:
    """An array of the metadata: only how many items it has."""

    count: int


@dataclass(frozen=True)
class GgufHead:
    """What a GGUF says about itself.

    Args:
        metadata: key-value pairs; of arrays only the length.
        parameters: number of weights in all tensors.
    """

    metadata: dict[str, object]
    parameters: int

    def text(self, key: str) -> str | None:
        """A text of the metadata, None where it is missing or no text."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        """A whole number of the metadata, None where it is missing or none."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_head(path: Path) -> GgufHead:
    """Read the head of a GGUF file.

    Raises:
        GgufError: it can not be read, is no GGUF, or is cut off or damaged.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size).head()
    except OSError as error:
        raise GgufError(f"{path.name}: can not be read ({error.strerror}).") from error
    except _BrokenError as error:
        raise GgufError(
            f"{path.name}: {error}. Copy the file again, and compare its size with the publisher's."
        ) from error


class _BrokenError(Exception):
    pass


class _Reader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def head(self) -> GgufHead:
        if self._take(4) != _MAGIC:
            raise _BrokenError("is no GGUF file")
        version = int(self._number("<I"))
        if version not in _VERSIONS:
            raise _BrokenError(f"is GGUF version {version}; Cloister reads versions 2 and 3")
        tensors = self._count("tensors", _TENSORS)
        pairs = self._count("key-value pairs", _PAIRS)
        metadata = dict(self._pair() for _ in range(pairs))
        return GgufHead(metadata, sum(self._weights() for _ in range(tensors)))

    def _pair(self) -> tuple[str, object]:
        key = self._text(_KEY_BYTES)
        return key, self._value(int(self._number("<I")))

    def _value(self, kind: int) -> object:
        if kind == _TEXT:
            return self._text(_TEXT_BYTES)
        if kind != _ARRAY:
            return self._number(self._code(kind))
        item = int(self._number("<I"))
        count = self._count("items of an array", _ITEMS)
        if item == _TEXT:
            for _ in range(count):
                self._skip(self._count("bytes of a text", _TEXT_BYTES))
        else:
            self._skip(count * struct.calcsize(self._code(item)))
        return Array(count)

    def _weights(self) -> int:
        self._text(_KEY_BYTES)
        dimensions = int(self._number("<I"))
        if dimensions > _DIMENSIONS:
            raise _BrokenError(f"has a tensor of {dimensions} dimensions")
        sizes = [int(self._number("<Q")) for _ in range(dimensions)]
        self._skip(struct.calcsize("<I") + struct.calcsize("<Q"))  # type and offset
        return math.prod(sizes)

    def _text(self, most: int) -> str:
        return self._take(self._count("bytes of a text", most)).decode("utf-8", "replace")

    def _count(self, what: str, most: int) -> int:
        count = int(self._number("<Q"))
        if count > most:
            raise _BrokenError(f"claims {count} {what}; at most {most} are read")
        return count

    def _code(self, kind: int) -> str:
        if kind not in _NUMBERS:
            raise _BrokenError(f"has a value of the unknown type {kind}")
        return _NUMBERS[kind]

    def _number(self, code: str) -> int | float | bool:
        (value,) = struct.unpack(code, self._take(struct.calcsize(code)))
        number: int | float | bool = value
        return number

    def _skip(self, count: int) -> None:
        if self._file.seek(count, 1) > self._size:
            raise _BrokenError("ends in the middle of its head")

    def _take(self, count: int) -> bytes:
        taken = self._file.read(count)
        if len(taken) < count:
            raise _BrokenError("ends in the middle of its head")
        return taken
