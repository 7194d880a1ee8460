"""Read the header of a GGUF file that nobody vouches for.

Layout: the GGUF specification of the ggml project, versions 2 and 3. Nothing is believed before it
is checked: every count, length, type and offset is held against what the file has left, and the
tensors must lie one behind the other from the end of the header to the end of the file, as
llama.cpp wants them. Tensor data is never read, and of long arrays only the length is kept.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

from appliance.catalogue.errors import GgufError
from appliance.catalogue.quantisation import QUANTISATIONS, Quantisation


@dataclass(frozen=True)
class Limits:
    """What a header may hold; several times what published models need."""

    header_bytes: int = 48 * 1024 * 1024  # of the file's beginning that are read
    keys: int = 4096  # metadata entries
    tensors: int = 65_536
    key_chars: int = 256
    text_bytes: int = 1024 * 1024  # one text of the metadata
    name_chars: int = 63  # tensor name; ggml holds no longer one
    array_texts: int = 2_097_152  # texts of all arrays together
    kept_values: int = 1024  # elements of a longer array are passed over
    dimensions: int = 4
    alignment: int = 65_536  # bytes


LIMITS = Limits()

Scalar = int | float | bool | str

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_NUMBERS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: _U32,
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: _U64,
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_TEXT, _ARRAY = 8, 9
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32  # where general.alignment is not set
_KEY = re.compile(r"[\x21-\x7e]+")
_AGAIN = "bring the file in again"


@dataclass(frozen=True)
class Array:
    """An array of the metadata.

    Args:
        texts: whether its elements are texts.
        count: number of elements.
        values: all of them if they are few numbers, else none.
    """

    texts: bool
    count: int
    values: tuple[int | float | bool, ...] = ()


@dataclass(frozen=True)
class Tensor:
    """One entry of the tensor table.

    Args:
        shape: elements by dimension, the one whose elements lie side by side first.
        offset: bytes from the start of the tensor data.
        size: bytes.
    """

    name: str
    shape: tuple[int, ...]
    quantisation: Quantisation
    offset: int
    size: int


@dataclass(frozen=True)
class Gguf:
    """What the header of a sound file says.

    Args:
        file: name of the file, for messages.
        size: of the whole file, bytes.
        data: where the tensor data begins, bytes from the start of the file.
    """

    file: str
    size: int
    data: int
    version: int
    metadata: Mapping[str, Scalar | Array]
    tensors: tuple[Tensor, ...]


def read_gguf(path: Path) -> Gguf:
    """Read and check a file's header.

    Args:
        path: the file; it is not changed, and must not change meanwhile.

    Raises:
        GgufError: it can not be read, or breaks a rule; names the place and the remedy.
    """
    try:
        if not path.is_file():  # a pipe would never end
            raise GgufError(f"{path.name}: is not there, or is no plain file; {_AGAIN}.")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            raw = file.read(min(size, LIMITS.header_bytes))
    except OSError as error:
        raise GgufError(f"{path.name}: can not be read ({error.strerror}); {_AGAIN}.") from error
    return _Header(path.name, size, raw).read()


class _Header:
    """A cursor over a file's beginning that never passes its end."""

    def __init__(self, file: str, size: int, raw: bytes) -> None:
        self._file = file
        self._size = size
        self._raw = raw
        self._at = 0
        self._texts_left = LIMITS.array_texts

    def read(self) -> Gguf:
        """The whole header, or a GgufError that names what is wrong with it."""
        version = self._version()
        tensors = self._count("tensors", LIMITS.tensors)
        keys = self._count("metadata entries", LIMITS.keys)
        metadata = self._metadata(keys)
        alignment = self._alignment(metadata)
        found: dict[str, Tensor] = {}
        expected = 0
        for number in range(tensors):
            tensor = self._tensor(number)
            if tensor.name in found:
                raise self._fault(f"two tensors are called {tensor.name!r}")
            self._check_offset(tensor, expected)
            expected = _padded(tensor.offset + tensor.size, alignment)
            found[tensor.name] = tensor
        data, all_found = _padded(self._at, alignment), tuple(found.values())
        self._check_end(data, all_found, alignment)
        return Gguf(self._file, self._size, data, version, MappingProxyType(metadata), all_found)

    def _version(self) -> int:
        if not self._raw.startswith(_MAGIC):
            raise self._fault("does not begin with 'GGUF'", "it is another kind of file")
        self._at = len(_MAGIC)
        version = self._number(_U32, "version")
        if version & 0xFFFF == 0:
            raise self._fault("is written for big-endian machines", "convert the model anew")
        if version not in _VERSIONS:
            raise self._fault(f"has version {version}, not 2 or 3", "convert the model anew")
        return version

    def _count(self, what: str, limit: int) -> int:
        count = self._number(_U64, f"number of {what}")
        if count > limit:
            raise self._fault(f"claims {count} {what}; at most {limit} are taken")
        return count

    def _metadata(self, keys: int) -> dict[str, Scalar | Array]:
        metadata: dict[str, Scalar | Array] = {}
        for number in range(keys):
            key = self._text(f"metadata key {number}", LIMITS.key_chars)
            if not _KEY.fullmatch(key):
                raise self._fault(f"metadata key {number} is empty or has odd characters")
            if key in metadata:
                raise self._fault(f"metadata key {key!r} stands there twice")
            metadata[key] = self._value(key)
        return metadata

    def _value(self, key: str) -> Scalar | Array:
        kind = self._number(_U32, f"type of {key!r}")
        if kind == _ARRAY:
            return self._array(key)
        if kind == _TEXT:
            return self._text(repr(key), LIMITS.text_bytes)
        form = _NUMBERS.get(kind)
        if form is None:
            raise self._fault(f"{key!r} has the unknown type {kind}")
        value: int | float | bool = form.unpack_from(self._raw, self._take(form.size, repr(key)))[0]
        return value

    def _array(self, key: str) -> Array:
        kind = self._number(_U32, f"element type of {key!r}")
        count = self._number(_U64, f"length of {key!r}")
        if kind == _TEXT:
            self._pass_texts(count, key)
            return Array(True, count)
        form = _NUMBERS.get(kind)
        if form is None:
            raise self._fault(f"{key!r} is an array of the unknown type {kind}")
        start = self._take(count * form.size, repr(key))
        if count > LIMITS.kept_values:
            return Array(False, count)
        values = form.iter_unpack(self._raw[start : self._at])
        return Array(False, count, tuple(value for (value,) in values))

    def _pass_texts(self, count: int, key: str) -> None:
        """Step over texts without making objects of them: a vocabulary has 250,000."""
        self._texts_left -= count
        if self._texts_left < 0:
            raise self._fault(f"{key!r} passes {LIMITS.array_texts} texts in arrays")
        raw, at, last, length = self._raw, self._at, len(self._raw) - 8, _U64.unpack_from
        for _ in range(count):
            if at > last:
                break
            at += 8 + length(raw, at)[0]
        else:
            self._take(at - self._at, repr(key))
            return
        raise self._cut(repr(key))

    def _alignment(self, metadata: Mapping[str, Scalar | Array]) -> int:
        value = metadata.get("general.alignment", _ALIGNMENT)
        if isinstance(value, int) and 8 <= value <= LIMITS.alignment and not value & (value - 1):
            return value
        raise self._fault(f"'general.alignment' is no power of two from 8 to {LIMITS.alignment}")

    def _tensor(self, number: int) -> Tensor:
        name = self._text(f"name of tensor {number}", LIMITS.name_chars)
        if not _KEY.fullmatch(name):
            raise self._fault(f"the name of tensor {number} is empty or has odd characters")
        what = f"tensor {name!r}"
        dimensions = self._number(_U32, what)
        if not 1 <= dimensions <= LIMITS.dimensions:
            raise self._fault(f"{what} has {dimensions} dimensions, not 1 to 4")
        shape = tuple(self._number(_U64, what) for _ in range(dimensions))
        kind = self._number(_U32, what)
        quantisation = QUANTISATIONS.get(kind)
        if quantisation is None:
            raise self._fault(
                f"{what} has the unknown quantisation type {kind}", "quantise the model anew"
            )
        offset = self._number(_U64, what)
        return Tensor(name, shape, quantisation, offset, self._bytes_of(what, shape, quantisation))

    def _bytes_of(self, what: str, shape: tuple[int, ...], quantisation: Quantisation) -> int:
        if min(shape) < 1:
            raise self._fault(f"{what} has a dimension of no elements")
        if shape[0] % quantisation.block:
            raise self._fault(
                f"{what} has rows of {shape[0]} elements, which are no whole blocks of"
                f" {quantisation.block} ({quantisation.name})"
            )
        size = prod(shape) // quantisation.block * quantisation.block_bytes
        if size > self._size:
            raise self._fault(f"{what} would take {size} bytes, the whole file has {self._size}")
        return size

    def _check_offset(self, tensor: Tensor, expected: int) -> None:
        if tensor.offset < expected:
            raise self._fault(f"tensor {tensor.name!r} overlaps the one before it")
        if tensor.offset > expected:
            raise self._fault(f"there is a gap before tensor {tensor.name!r}")

    def _check_end(self, start: int, tensors: tuple[Tensor, ...], alignment: int) -> None:
        if not tensors:
            return
        last = tensors[-1]
        end = start + last.offset + last.size
        if end > self._size:
            raise self._fault(
                f"is cut off: it has {self._size} bytes, tensor {last.name!r} ends at {end}"
            )
        if self._size > _padded(end, alignment):
            raise self._fault(f"has {self._size - end} bytes behind its last tensor")

    def _text(self, what: str, limit: int) -> str:
        length = self._number(_U64, what)
        if length > limit:
            raise self._fault(f"{what} has {length} bytes; at most {limit} are taken")
        start = self._take(length, what)
        try:
            return self._raw[start : self._at].decode()
        except UnicodeDecodeError as error:
            raise self._fault(f"{what} is no UTF-8") from error

    def _number(self, form: struct.Struct, what: str) -> int:
        value: int = form.unpack_from(self._raw, self._take(form.size, what))[0]
        return value

    def _take(self, count: int, what: str) -> int:
        """Pass `count` bytes; returns where they begin."""
        start = self._at
        if count > len(self._raw) - start:
            raise self._cut(what)
        self._at += count
        return start

    def _cut(self, what: str) -> GgufError:
        if len(self._raw) < self._size:
            return self._fault(f"has a header of more than {LIMITS.header_bytes} bytes")
        return self._fault(f"is cut off in its header, at {what}")

    def _fault(self, complaint: str, remedy: str = _AGAIN) -> GgufError:
        return GgufError(f"{self._file}: {complaint}; {remedy}.")


def _padded(count: int, alignment: int) -> int:
    return -(-count // alignment) * alignment
