"""Secrets in buffers that can be overwritten.

Python's `bytes` can not be erased, so what must not outlive its use is made, derived and wiped in a
`bytearray`. Best effort: copies inside OpenSSL and the interpreter are theirs to clean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_SOURCE: Final = Path("/dev/urandom")


def random_secret(length: int) -> bytearray:
    """Read random bytes straight into a buffer that can be wiped.

    Args:
        length: bytes wanted.
    """
    buffer = bytearray(length)
    with _SOURCE.open("rb", buffering=0) as source:
        if source.readinto(buffer) != length:
            raise OSError(f"{_SOURCE} gave fewer bytes than asked for.")
    return buffer


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer in place."""
    buffer[:] = bytes(len(buffer))


def hexlify(buffer: bytearray) -> bytearray:
    """Write a secret in hexadecimal without an intermediate `bytes` of the whole."""
    digits = b"0123456789abcdef"
    return bytearray(digits[half] for byte in buffer for half in (byte >> 4, byte & 15))
