"""Bech32 (BIP 173) without its length limit, as age uses it for keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from audit.errors import AgeFormatError

_CHARSET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM: Final = 6  # characters


def bech32_encode(prefix: str, data: bytes) -> str:
    """Encode bytes under a lower-case prefix."""
    values = _regroup(data, 8, 5, pad=True)
    checksum = _polymod([*_expand(prefix), *values, *[0] * _CHECKSUM]) ^ 1
    values += [checksum >> 5 * (_CHECKSUM - 1 - place) & 31 for place in range(_CHECKSUM)]
    return prefix + "1" + "".join(_CHARSET[value] for value in values)


def bech32_decode(text: str) -> tuple[str, bytes]:
    """Return the prefix, in lower case, and the bytes.

    Raises:
        AgeFormatError: if a character or the checksum is wrong.
    """
    if text not in (text.lower(), text.upper()):
        raise AgeFormatError("A key mixes upper and lower case. Copy it again.")
    prefix, separator, encoded = text.lower().rpartition("1")
    if not separator or not prefix or len(encoded) < _CHECKSUM or set(encoded) - set(_CHARSET):
        raise AgeFormatError("A key has characters that no key has. Copy it again.")
    values = [_CHARSET.index(character) for character in encoded]
    if _polymod([*_expand(prefix), *values]) != 1:
        raise AgeFormatError("A key's checksum does not match. Copy it again.")
    return prefix, bytes(_regroup(values[:-_CHECKSUM], 5, 8, pad=False))


def _expand(prefix: str) -> list[int]:
    codes = [ord(character) for character in prefix]
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def _polymod(values: Iterable[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATORS):
            checksum ^= generator if top >> place & 1 else 0
    return checksum


def _regroup(values: Iterable[int], width_in: int, width_out: int, *, pad: bool) -> list[int]:
    """Cut a bit string in other pieces; what is left over must be zero bits."""
    held = bits = 0
    result = []
    for value in values:
        held, bits = held << width_in | value, bits + width_in
        while bits >= width_out:
            bits -= width_out
            result.append(held >> bits)
            held &= (1 << bits) - 1
    if pad and bits:
        result.append(held << width_out - bits)
    elif not pad and (bits >= width_in or held):
        raise AgeFormatError("A key's padding is wrong. Copy it again.")
    return result
