"""Faults of the log, kept until the log can say so itself: a fault is a record when it is over.

What began in this process is remembered, and kept in a file beside the database, because the way
out of many faults is a restart.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from audit.writer.draft import iso_time
from audit.writer.files import write_durably

_FILE: Final = "fault.json"


@dataclass(frozen=True, slots=True)
class Fault:
    """What kept the log from taking records.

    Attributes:
        fault: `not_durable`, `read_only` or `no_room`.
        since: when it began, RFC 3339.
        reason: why, in the words that clients got.
        refused: records that were not taken.
    """

    fault: str
    since: str
    reason: str
    refused: int = 0


class Faults:
    """The fault that lasts, and what it cost."""

    def __init__(self, folder: Path) -> None:
        """Take up a fault that an earlier process has left.

        Args:
            folder: of the log.
        """
        self._file = folder / _FILE
        self._saved = True
        self._fault = self._left()

    def begin(self, fault: str, reason: str, wall_ns: int) -> None:
        """A fault began; one that lasts already stays the first, unless the new one is worse.

        Args:
            fault: `not_durable`, `read_only` or `no_room`.
            reason: why.
            wall_ns: now, nanoseconds since 1970.
        """
        lasting = self._fault
        if lasting is None or (lasting.fault, fault) == ("not_durable", "read_only"):
            since = iso_time(wall_ns) if lasting is None else lasting.since
            refused = 0 if lasting is None else lasting.refused
            self._fault, self._saved = Fault(fault, since, reason, refused), False

    def refuse(self) -> None:
        """One more record was not taken."""
        if self._fault is not None:
            self._fault = replace(self._fault, refused=self._fault.refused + 1)
            self._saved = False

    def save(self) -> None:
        """Keep the fault for the next process, as far as the disk lets us."""
        fault = self._fault
        if self._saved or fault is None:
            return
        self._saved = True
        with suppress(OSError):  # the disk may be the fault; then it is remembered in memory alone
            write_durably(self._file, json.dumps(asdict(fault)).encode(), 0o600)

    def payload(self, wall_ns: int) -> dict[str, Any] | None:
        """What to record about the fault that is over, or None if there was none.

        Args:
            wall_ns: now, nanoseconds since 1970.
        """
        if self._fault is None:
            return None
        return {**asdict(self._fault), "until": iso_time(wall_ns)}

    def forget(self) -> None:
        """The fault is recorded durably."""
        self._fault, self._saved = None, True
        with suppress(OSError):  # it would be recorded once more, which hurts nobody
            self._file.unlink(missing_ok=True)

    def _left(self) -> Fault | None:
        try:
            return Fault(**json.loads(self._file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
