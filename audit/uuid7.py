"""Event ids: UUIDs of version 7, so that they sort by time (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import time
from uuid import UUID

_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_RANDOM_BITS = ((1 << 12) - 1) << 64 | ((1 << 62) - 1)


def uuid7() -> UUID:
    """Make an event id from the wall clock in milliseconds and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(16), "big") & _RANDOM_BITS
    return UUID(int=(milliseconds & (1 << 48) - 1) << 80 | _VERSION_AND_VARIANT | random)
