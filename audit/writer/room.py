"""How full the log's disks are, and the room that is kept for the end.

Two thresholds, as NIST SP 800-53 AU-5(1) asks: at the first somebody is told, at the second no
more answers are given. The *ballast* is a file that only takes up room. It is let go of at the
second, so that the stop, the sign-in of whoever cleans up and the clean-up itself are recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from audit.errors import NotDurableError

_BALLAST: Final = "ballast"
_MOST_OF_DISK: Final = 50  # the ballast takes at most one part in so many of its disk


class Level(IntEnum):
    """How urgent it is."""

    ROOMY = 0
    WARN = 1
    STOP = 2


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """When to say something, and when to stop.

    Attributes:
        warn: share of a disk or of the quota that is in use, 0 to 1.
        stop: the same, from which on nothing is answered.
        quota: bytes that the log may have; 0 for no limit but the disk.
        ballast: bytes kept for the end; less on a small disk.
    """

    warn: float = 0.80
    stop: float = 0.95
    quota: int = 0
    ballast: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RoomState:
    """The fullest of all places.

    Attributes:
        level: how urgent it is.
        share: what is in use of it, 0 to 1.
        place: which it is, for people.
    """

    level: Level
    share: float
    place: str

    @property
    def words(self) -> str:
        """What is wrong and what to do about it; empty while there is room."""
        if self.level is Level.ROOMY:
            return ""
        full = f"{self.place} is {self.share:.0%} full"
        if self.level is Level.WARN:
            return f"{full}. Make room before the log has to stop."
        return (
            f"{full}: no more prompts are taken. Make room; sign-ins, changes and answers that run "
            "are still recorded, and the log resumes by itself."
        )


class Room:
    """Watches the disks of the log and of its head, and keeps the ballast."""

    def __init__(self, database: Path, head: Path, limits: RoomLimits) -> None:
        """Say what to watch; nothing is touched yet.

        Args:
            database: the log's database.
            head: its head file.
            limits: when to say something, and when to stop.
        """
        self._database = database
        self._head = head
        self._limits = limits
        self._ballast = database.with_name(_BALLAST)

    def look(self) -> RoomState:
        """The fullest place now; the ballast counts as used, whether it is there or not.

        Raises:
            NotDurableError: if a disk can not be asked.
        """
        try:
            share, place = max(self._shares())
        except OSError as error:
            raise NotDurableError(
                f"{error.filename} can not be looked at: {error.strerror}. Check the disk; "
                "the log resumes by itself."
            ) from error
        stop, warn = share >= self._limits.stop, share >= self._limits.warn
        level = Level.STOP if stop else Level.WARN if warn else Level.ROOMY
        return RoomState(level, share, place)

    def take_ballast(self) -> bool:
        """Put the ballast back; returns whether it is there in full."""
        wanted = self._wanted()
        if self._held() >= wanted:
            return True
        try:
            fd = os.open(self._ballast, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, wanted)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError:
            self.free_ballast()
            return False
        return True

    def free_ballast(self) -> None:
        """Let go of the ballast: what it held can be written now."""
        with suppress(OSError):  # it is gone, or its disk is: both show where the log is written
            self._ballast.unlink(missing_ok=True)

    def _shares(self) -> Iterator[tuple[float, str]]:
        folder = self._database.parent
        yield _share(folder, self._wanted() - self._held()), f"The disk of {folder}"
        if os.stat(self._head.parent).st_dev != os.stat(folder).st_dev:
            yield _share(self._head.parent, 0), f"The disk of {self._head.parent}"
        if self._limits.quota:
            yield self._own() / self._limits.quota, f"The quota of {folder}"

    def _own(self) -> int:
        """Bytes of the database with its log file."""
        wal = self._database.with_name(self._database.name + "-wal")
        return sum(_size(path) for path in (self._database, wal))

    def _wanted(self) -> int:
        disk = os.statvfs(self._database.parent)
        return min(self._limits.ballast, disk.f_blocks * disk.f_frsize // _MOST_OF_DISK)

    def _held(self) -> int:
        return _size(self._ballast)


def _share(folder: Path, missing: int) -> float:
    """What is in use of a disk, counted as df(1) does.

    Args:
        folder: any folder on it.
        missing: bytes that are free now and spoken for.
    """
    disk = os.statvfs(folder)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    whole = used + disk.f_bavail * disk.f_frsize
    return min(1.0, (used + missing) / whole) if whole else 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
