"""A GGUF file with something wrong in it: anywhere, in any way, and by its number the same."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gguf

_HEAD = 24  # bytes of magic, version and the two counts
# Numbers at which arithmetic goes wrong: of signs, of 32 and of 64 bits, and of small counts.
_NUMBERS = (0, 1, 2, 3, 7, 255, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)
_FLOATS = (float("nan"), float("inf"), -float("inf"), 3e38, -1.0)


@dataclass(frozen=True)
class Sections:
    """Where the parts of a file lie.

    Args:
        raw: the file.
        tokens: offset of the vocabulary, behind the sizes.
        tensors: offset of the table of tensors, behind the metadata.
        data: offset of the tensors themselves.
    """

    raw: bytes
    tokens: int
    tensors: int
    data: int

    @classmethod
    def of(cls, path: Path) -> Sections:
        """The parts of a sound file."""
        reader = gguf.GGUFReader(path)
        first = min(tensor.field.offset for tensor in reader.tensors)
        tokens = reader.fields["tokenizer.ggml.tokens"].offset
        return cls(path.read_bytes(), tokens, first, reader.data_offset)

    def spans(self) -> dict[str, tuple[int, int]]:
        """Beginning and end of each part."""
        return {
            "head": (0, _HEAD),
            "sizes": (_HEAD, self.tokens),
            "vocabulary": (self.tokens, self.tensors),
            "tensors": (self.tensors, self.data),
            "data": (self.data, len(self.raw)),
            "file": (0, len(self.raw)),
        }


def mutant(sections: Sections, number: int) -> bytes:
    """The mutant of this number; most are wrong in one place, some in several."""
    dice = random.Random(number)  # noqa: S311 - the same mutants every time
    part = dice.choices(
        ["head", "sizes", "vocabulary", "tensors", "data", "file"], weights=[2, 6, 3, 8, 3, 2]
    )[0]
    span = sections.spans()[part]
    raw = bytearray(sections.raw)
    ways = _FILE if part == "file" else (*_ANYWHERE, _float) if part == "data" else _ANYWHERE
    for _ in range(dice.choice([1, 1, 1, 2, 5])):
        dice.choice(ways)(raw, span, dice)
    return bytes(raw)


_Way = Callable[[bytearray, tuple[int, int], random.Random], None]


def _flip(raw: bytearray, span: tuple[int, int], dice: random.Random) -> None:
    raw[dice.randrange(*span)] ^= 1 << dice.randrange(8)


def _byte(raw: bytearray, span: tuple[int, int], dice: random.Random) -> None:
    raw[dice.randrange(*span)] = dice.randrange(256)


def _number(raw: bytearray, span: tuple[int, int], dice: random.Random) -> None:
    wide = dice.choice([4, 8])
    at = dice.randrange(span[0], span[1] - wide)
    value = dice.choice(_NUMBERS) % (1 << 8 * wide)
    raw[at : at + wide] = value.to_bytes(wide, "little")


def _float(raw: bytearray, span: tuple[int, int], dice: random.Random) -> None:
    at = dice.randrange(span[0], span[1] - 4) // 4 * 4
    raw[at : at + 4] = struct.pack("<f", dice.choice(_FLOATS))


def _copy(raw: bytearray, span: tuple[int, int], dice: random.Random) -> None:
    """One place's bytes over another's: keys twice, offsets that overlap."""
    count = dice.randint(1, min(64, (span[1] - span[0]) // 2))
    source, target = (dice.randrange(span[0], span[1] - count) for _ in range(2))
    raw[target : target + count] = raw[source : source + count]


def _insert(raw: bytearray, span: tuple[int, int], dice: random.Random) -> None:
    """Everything behind is shifted."""
    at = dice.randrange(*span)
    raw[at:at] = dice.randbytes(dice.randint(1, 40))


def _remove(raw: bytearray, span: tuple[int, int], dice: random.Random) -> None:
    at = dice.randrange(*span)
    del raw[at : at + dice.randint(1, 40)]


def _cut(raw: bytearray, _span: tuple[int, int], dice: random.Random) -> None:
    del raw[dice.randrange(1, len(raw)) :]


def _lengthen(raw: bytearray, _span: tuple[int, int], dice: random.Random) -> None:
    raw += dice.randbytes(dice.randint(1, 4096))


_ANYWHERE: tuple[_Way, ...] = (_flip, _byte, _number, _number, _copy, _insert, _remove)
_FILE: tuple[_Way, ...] = (_cut, _lengthen)
