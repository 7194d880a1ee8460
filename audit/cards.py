"""Card data that nobody may keep are masked before a record is sealed.

PCI DSS 3.3 forbids to store a card's security code and track data once a payment is authorised,
even encrypted. A number is masked only where it stands for sure among such data: a bare number, and
be it a valid card number, is somebody's order, account or meter and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_MARK: Final = "*"
_LEFT: Final = 4  # digits of a card number that stay, as on a receipt
_GAP: Final = r"[ \u00a0.-]"

_SHAPES: Final = (b"0" * 12, b"0000 0000 0000", b"0000 000000 0000")
_NUMBERS: Final = tuple(
    (part, re.compile(rf"(?<!\d)(?:{shape})(?!\d)", re.ASCII))
    for part, shape in (
        (_SHAPES[1], rf"\d{{4}}({_GAP})\d{{4}}\1\d{{4}}\1\d{{4}}\1\d{{3}}"),
        (_SHAPES[1], rf"\d{{4}}({_GAP})\d{{4}}\1\d{{4}}\1\d{{1,4}}"),
        (_SHAPES[2], rf"\d{{4}}({_GAP})\d{{6}}\1\d{{4,5}}"),
        (_SHAPES[0], r"\d{13,19}"),
    )
)
"""What a card number looks like, behind a part of it as `_shape` writes it."""
_LABEL: Final = (
    r"cvv2?|cvc2?|cvn2?|cav2|csc|cid|card (?:verification|security) (?:code|number|value)|"
    r"security code|(?:karten)?pr(?:ü|ue)f(?:nummer|ziffer)|sicherheitscode|cryptogramme|"
    r"code de s[ée]curit[ée]"
)
_CODES: Final = (
    re.compile(rf"(?<![a-z])(?:{_LABEL})(?![a-z])[^\d#]{{0,20}}?(\d{{3,4}})(?!\d)", re.IGNORECASE),
    # Before its label, unless another number stands behind that: then this one is a year.
    re.compile(
        rf"(?<![\d/])(\d{{3,4}})(?!\d)[^\w#]{{0,3}}(?:{_LABEL})(?![a-z])"
        r"(?![^\d#]{0,20}?\d{3,4}(?!\d))",
        re.IGNORECASE,
    ),
)
_IS_LABEL: Final = re.compile(rf"\W*(?:{_LABEL})\W*", re.IGNORECASE)
_IS_CODE: Final = re.compile(r"\d{3,4}", re.ASCII)
_TRACKS: Final = (
    re.compile(r"%[Bb](\d{12,19})\^[^^]{2,26}\^\d{4}[^?\s]*\??", re.ASCII),
    re.compile(r";(\d{12,19})=\d{4}[^?\s]*\??", re.ASCII),
)
_GAPS: Final = b" .-"
_AS_SHAPE: Final = bytes(
    ord("0") if chr(code).isdigit() and code < 128 else ord(" ") if code in _GAPS else ord("x")
    for code in range(256)
)


def may_hold_cards(text: bytes) -> bool:
    """Whether a text has anything like a card number: quick, and never wrongly no.

    Args:
        text: all of a record's content, as JSON in UTF-8.
    """
    shape = _shape(text)
    return any(part in shape for part in _SHAPES)


def _shape(text: bytes) -> bytes:
    """A text with 0 for each digit, a blank for each gap and x for all else."""
    return text.replace(b"\xc2\xa0", b" ").translate(_AS_SHAPE)


def mask_cards(content: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Mask card data that nobody may keep.

    Card numbers (13 to 19 digits, first digit 2 to 6, Luhn's checksum, ISO/IEC 7812-1) keep their
    last four digits, and security codes none, where the record has at least one of each. Track
    data (ISO/IEC 7813) with a valid number are masked wherever they stand.

    Args:
        content: of one record, JSON values.

    Returns:
        The content, and whether anything was masked.
    """
    found = _Found.of(_texts(content))
    if not found.any:
        return dict(content), False
    return {_text(name, found): _value(name, part, found) for name, part in content.items()}, True


@dataclass(frozen=True, slots=True)
class _Found:
    """What a record holds; single numbers and single codes are let alone."""

    together: bool
    track: bool

    @property
    def any(self) -> bool:
        return self.together or self.track

    @classmethod
    def of(cls, texts: Iterator[str]) -> _Found:
        # Looking for codes takes longest, and matters only beside a number.
        found = [(text, list(_numbers(text))) for text in texts]
        together = any(spans for _, spans in found) and any(
            any(_codes(_without(text, spans))) for text, spans in found
        )
        return cls(together, any(any(_tracks(text)) for text, _ in found))


def _texts(value: object, name: str = "") -> Iterator[str]:
    """All texts and numbers of a content, each with the name that it stands under."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield key
            yield from _texts(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, name)
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        yield f"{name} {value}" if _IS_LABEL.fullmatch(name) else str(value)


def _value(name: str, value: object, found: _Found) -> object:
    if isinstance(value, Mapping):
        return {_text(key, found): _value(key, part, found) for key, part in value.items()}
    if isinstance(value, list):
        return [_value(name, part, found) for part in value]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return value
    text = str(value)
    if found.together and _IS_LABEL.fullmatch(name) and _IS_CODE.fullmatch(text):
        return _MARK * len(text)
    masked = _text(text, found)
    return value if masked == text else masked


def _text(text: str, found: _Found) -> str:
    """One text with what must go replaced, character by character."""
    text = _replaced(text, list(_tracks(text)), lambda track: _MARK * len(track))
    if not found.together:
        return text
    numbers = list(_numbers(text))
    codes = list(_codes(_without(text, numbers)))
    text = _replaced(text, codes, lambda code: _MARK * len(code))
    return _replaced(text, numbers, _shortened)


def _shortened(number: str) -> str:
    """A card number without all digits but the last ones; gaps stay where they are."""
    return re.sub(r"\d", _MARK, number[:-_LEFT]) + number[-_LEFT:]


def _replaced(text: str, spans: list[tuple[int, int]], change: Callable[[str], str]) -> str:
    """A text with some of its parts changed to others of the same length."""
    parts, place = [], 0
    for start, end in sorted(spans):
        if start >= place:
            parts += [text[place:start], change(text[start:end])]
            place = end
    return "".join([*parts, text[place:]])


def _numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand."""
    shape = _shape(text.encode(errors="replace"))
    for part, number in _NUMBERS:
        for match in number.finditer(text) if part in shape else ():
            if _is_card(re.sub(r"\D", "", match[0])):
                yield match.span()


def _codes(text: str) -> Iterator[tuple[int, int]]:
    """Where security codes stand, in a text whose card numbers are blotted out."""
    for shape in _CODES:
        for match in shape.finditer(text):
            yield match.span(1)


def _tracks(text: str) -> Iterator[tuple[int, int]]:
    for shape in _TRACKS:
        for match in shape.finditer(text):
            if _is_card(match[1]):
                yield match.span()


def _without(text: str, numbers: list[tuple[int, int]]) -> str:
    return _replaced(text, numbers, lambda number: "#" * len(number))


def _is_card(digits: str) -> bool:
    """Luhn's checksum over a number that begins as those of card schemes do."""
    if digits[0] not in "23456":
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(twice - 9 if twice > 9 else twice for twice in doubled)) % 10 == 0
