"""Join a model that was split into several GGUF files, without writing any of them first.

The parts of a split model (llama.cpp, tools/gguf-split) are GGUF files of their own. The first has
the metadata; each has some of the tensors, and says in `split.no` and `split.count` which part it
is. Joined, they are one header, which is made here, and the tensors of all parts behind each other.
One file has one digest, and all that comes after the import need not know that there were several.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from appliance.catalogue.gguf import ALIGNMENT, Gguf, Tensor, padded, read_gguf
from appliance.catalogue.known.head import head_of
from appliance.catalogue.quantisation import QUANTISATIONS
from appliance.importing.errors import PartMissingError
from appliance.importing.source import Piece, Source, Stamp, formats_of

_SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")
_ARCHITECTURE = "general.architecture"
_NUMBERS = {quantisation: number for number, quantisation in QUANTISATIONS.items()}
_VERSION = 3


def join_parts(file_name: str, parts: Sequence[Path]) -> Source:
    """The whole that the parts of a split model make.

    Args:
        file_name: of the whole.
        parts: all of them, in order.

    Raises:
        GgufError: one is no sound GGUF.
        PartMissingError: one is not the part that its name says, or of another model.
    """
    stamps = tuple(Stamp.of(part) for part in parts)
    ggufs = [read_gguf(part) for part in parts]
    for number, gguf in enumerate(ggufs):
        _check_place(gguf, number, len(parts))
    _check_tensors(ggufs)
    first = ggufs[0]
    alignment = _alignment(first)
    head = _header(first, parts[0], ggufs, alignment)
    head += bytes(padded(len(head), alignment) - len(head))
    pieces = [Piece(len(head), raw=head)]
    for gguf, part in zip(ggufs, parts, strict=True):
        for tensor in gguf.tensors:
            pieces.append(Piece(tensor.size, part, gguf.data + tensor.offset))
            gap = padded(tensor.size, alignment) - tensor.size
            pieces.append(Piece(gap, raw=bytes(gap)))
    tensors = [tensor for gguf in ggufs for tensor in gguf.tensors]
    metadata = {key: each for key, each in first.metadata.items() if key not in _SPLIT_KEYS}
    return Source(
        file_name,
        tuple(piece for piece in pieces if piece.length),
        stamps,
        head_of(metadata, tensors),
        formats_of(tensors),
    )


def _check_place(gguf: Gguf, number: int, count: int) -> None:
    """The part is the one that its name says."""
    said = gguf.metadata.get("split.no"), gguf.metadata.get("split.count")
    if said != (number, count):
        raise PartMissingError(
            f"{gguf.file}: says that it is part {_one_up(said[0])} of {said[1] or '?'}, its name"
            f" says {number + 1} of {count}. Copy the parts again, with their own names."
        )


def _check_tensors(ggufs: Sequence[Gguf]) -> None:
    """No tensor comes twice, none is missing, and all parts are of one model."""
    first = ggufs[0]
    names = Counter(tensor.name for gguf in ggufs for tensor in gguf.tensors)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise PartMissingError(
            f"{first.file}: tensor {twice[0]!r} is in two parts, so they are of several models."
            " Copy the parts of one model into a folder of their own."
        )
    expected = first.metadata.get("split.tensors.count", len(names))
    if expected != len(names):
        raise PartMissingError(
            f"{first.file}: the parts have {len(names)} tensors, and should have {expected}; some"
            " are of another model. Copy all parts again."
        )
    for gguf in ggufs[1:]:
        architecture = gguf.metadata.get(_ARCHITECTURE, first.metadata.get(_ARCHITECTURE))
        if architecture != first.metadata.get(_ARCHITECTURE):
            raise PartMissingError(
                f"{gguf.file}: is of another model than {first.file}. Copy all parts again."
            )


def _header(first: Gguf, file: Path, ggufs: Sequence[Gguf], alignment: int) -> bytes:
    """The header of the whole: the metadata of the first part, but not that it is a part."""
    with file.open("rb") as stream:
        raw = stream.read(first.data)
    spans = [span for key, span in first.spans.items() if key not in _SPLIT_KEYS]
    entries, offset = [], 0
    for tensor in (tensor for gguf in ggufs for tensor in gguf.tensors):
        entries.append(_entry(tensor, offset))
        offset += padded(tensor.size, alignment)
    head = b"GGUF" + struct.pack("<IQQ", _VERSION, len(entries), len(spans))
    return head + b"".join(raw[start:end] for start, end in spans) + b"".join(entries)


def _entry(tensor: Tensor, offset: int) -> bytes:
    name = tensor.name.encode()
    count = len(tensor.shape)
    kind = _NUMBERS[tensor.quantisation]
    described = struct.pack(f"<I{count}QIQ", count, *tensor.shape, kind, offset)
    return struct.pack("<Q", len(name)) + name + described


def _alignment(gguf: Gguf) -> int:
    value = gguf.metadata.get("general.alignment", ALIGNMENT)
    return value if isinstance(value, int) else ALIGNMENT


def _one_up(number: object) -> object:
    return number + 1 if isinstance(number, int) else "?"
