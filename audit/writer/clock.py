"""The two clocks of a record, and how a step of the wall clock shows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

STEP: Final = 1_000_000_000  # nanoseconds; a larger jump against CLOCK_BOOTTIME is recorded
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Instant:
    """One reading of both clocks, in nanoseconds."""

    wall: int
    boot: int

    @property
    def offset(self) -> int:
        """Wall clock less time since boot: constant as long as nobody sets the clock."""
        return self.wall - self.boot


class Clock:
    """The machine's clocks."""

    def now(self) -> Instant:
        """Read both clocks."""
        return Instant(time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def boot_id(self) -> bytes:
        """The kernel's id of this boot, 16 bytes."""
        return UUID(_BOOT_ID.read_text().strip()).bytes
