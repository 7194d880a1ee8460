"""How large anything in a bundle may be; what is over it is refused before it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of the format."""

    manifest: int = 16 * 1024 * 1024  # bytes
    signature: int = 16 * 1024  # bytes
    files: int = 50_000  # in one manifest
    file: int = 1024**4  # bytes
    total: int = 4 * 1024**4  # bytes of all files together
    path: int = 200  # characters
    parts: int = 999  # of a split bundle


LIMITS = Limits()
