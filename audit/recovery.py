"""A secret key as nine short lines that a person copies by hand from a printed page.

Each line has eight characters of Crockford's base 32, which leaves out I, L, O and U. The first
eight hold four bytes of the key and a check of one byte each, so that a mistyped line is named;
the last holds the kind of key and a check of four bytes over all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from audit.errors import RecoveryError

LINES: Final = 9

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = str.maketrans("OIL", "011")
_SECRET: Final = 32  # bytes
_PIECE: Final = 4  # bytes of the key in a line
_LINE: Final = 5  # bytes in a line
_CHARACTERS: Final = 8
_BITS: Final = 5  # of a character
_LABEL: Final = b"cloister-audit recovery"


class KeyKind(IntEnum):
    """What a key is for."""

    OFFICER = 1
    OFFICER_POST_QUANTUM = 2
    WITNESS = 3


@dataclass(frozen=True, slots=True)
class Recovered:
    """A key that was typed in again.

    Attributes:
        kind: what it is for.
        secret: 32 bytes.
    """

    kind: KeyKind
    secret: bytes

    def __repr__(self) -> str:
        """The kind only, so that no traceback shows the key."""
        return f"Recovered({self.kind.name})"


def recovery_lines(kind: KeyKind, secret: bytes) -> list[str]:
    """The lines of a key.

    Args:
        kind: what it is for.
        secret: 32 bytes.
    """
    pieces = [secret[start : start + _PIECE] for start in range(0, _SECRET, _PIECE)]
    lines = [piece + _check(number, piece) for number, piece in enumerate(pieces, 1)]
    return [_spell(line) for line in [*lines, bytes([kind]) + _whole(kind, secret)]]


def read_line(number: int, text: str) -> bytes:
    """Read one line as it was typed; case, spaces and dashes do not matter.

    Args:
        number: the line's number, from 1.
        text: what was typed.

    Raises:
        RecoveryError: if it is not that line.
    """
    typed = "".join(text.split()).replace("-", "").upper().translate(_READ_AS)
    if len(typed) != _CHARACTERS or set(typed) - set(_ALPHABET):
        raise RecoveryError(
            f"Line {number} has eight letters and digits, without U. Compare it with the page."
        )
    value = 0
    for character in typed:
        value = value << _BITS | _ALPHABET.index(character)
    raw = value.to_bytes(_LINE, "big")
    if number < LINES and raw[_PIECE:] != _check(number, raw[:_PIECE]):
        raise RecoveryError(f"Line {number} is mistyped, or it is another line. Type it again.")
    return raw


def read_lines(texts: Sequence[str]) -> Recovered:
    """Read all lines.

    Raises:
        RecoveryError: if one is mistyped, missing or of another page.
    """
    if len(texts) != LINES:
        raise RecoveryError(f"The page has {LINES} lines; {len(texts)} were given.")
    raw = [read_line(number, text) for number, text in enumerate(texts, 1)]
    secret, last = b"".join(line[:_PIECE] for line in raw[:-1]), raw[-1]
    if last[0] not in set(KeyKind) or last[1:] != _whole(KeyKind(last[0]), secret):
        raise RecoveryError(
            f"The lines do not fit together: line {LINES} is mistyped, or one is of another page."
        )
    return Recovered(KeyKind(last[0]), secret)


def _spell(raw: bytes) -> str:
    value = int.from_bytes(raw, "big")
    places = range(_BITS * (_CHARACTERS - 1), -1, -_BITS)
    typed = "".join(_ALPHABET[value >> place & 31] for place in places)
    return f"{typed[:4]}-{typed[4:]}"


def _check(number: int, piece: bytes) -> bytes:
    return hashlib.sha256(_LABEL + bytes([number]) + piece).digest()[: _LINE - _PIECE]


def _whole(kind: KeyKind, secret: bytes) -> bytes:
    return hashlib.sha256(_LABEL + bytes([LINES, kind]) + secret).digest()[: _LINE - 1]
