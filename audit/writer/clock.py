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


class StepWatch:
    """Tells when somebody has set the wall clock."""

    def __init__(self) -> None:
        """Nothing is known of the clock yet."""
        self._offset: int | None = None

    def adopt(self, then: Instant) -> None:
        """Go on from an earlier reading of the same boot: a step in between shows too."""
        self._offset = then.offset

    def step(self, now: Instant) -> int:
        """How far the clock was set since the last reading, nanoseconds; 0 if it was not."""
        before, self._offset = self._offset, now.offset
        found = 0 if before is None else now.offset - before
        return found if abs(found) >= STEP else 0
