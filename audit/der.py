"""Reading and writing DER (X.690), as far as time stamps need it: short tags, definite lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from audit.errors import DerFormatError

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTETS: Final = 0x04
NULL: Final = 0x05
OID: Final = 0x06
TIME: Final = 0x18  # GeneralizedTime
SEQUENCE: Final = 0x30
SET: Final = 0x31
TAGGED: Final = 0xA0  # context-specific and constructed; the number is added

_MAX_LENGTH: Final = 3  # bytes that a length may take


@dataclass(frozen=True, slots=True)
class Element:
    """One element.

    Attributes:
        tag: its first byte.
        body: what is in it.
        raw: all of it.
    """

    tag: int
    body: bytes
    raw: bytes

    def parts(self, *tags: int) -> list[Element]:
        """The elements in it.

        Args:
            tags: that the first ones must have.

        Raises:
            DerFormatError: if they have others, or are no elements.
        """
        found = list(elements(self.body))
        if [part.tag for part in found[: len(tags)]] != list(tags):
            raise DerFormatError("an element is not where it should be")
        return found


def read(data: bytes, tag: int) -> Element:
    """The one element that some bytes are.

    Raises:
        DerFormatError: if they are another one, or more.
    """
    found = list(elements(data))
    if len(found) != 1 or found[0].tag != tag:
        raise DerFormatError("it is not the element that it should be")
    return found[0]


def elements(data: bytes) -> Iterator[Element]:
    """The elements that stand one behind the other.

    Raises:
        DerFormatError: if a length is not canonical or leads beyond the end.
    """
    place = 0
    while place < len(data):
        start, length = _length(data, place + 1)
        if data[place] & 0x1F == 0x1F or start + length > len(data):
            raise DerFormatError("an element is cut or of a kind that does not occur here")
        yield Element(data[place], data[start : start + length], data[place : start + length])
        place = start + length


def write(tag: int, *parts: bytes) -> bytes:
    """One element."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + body


def integer(number: int) -> bytes:
    """A number from 0 as an element."""
    return write(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _length(data: bytes, place: int) -> tuple[int, int]:
    """Where the body begins, and its length."""
    if place >= len(data):
        raise DerFormatError("an element is cut")
    first = data[place]
    if first < 0x80:
        return place + 1, first
    count = first & 0x7F
    digits = data[place + 1 : place + 1 + count]
    length = int.from_bytes(digits, "big")
    shortest = max(1, (length.bit_length() + 7) // 8)
    if not 1 <= count <= _MAX_LENGTH or len(digits) != count or count != shortest or length < 0x80:
        raise DerFormatError("a length is not canonical")
    return place + 1 + count, length
