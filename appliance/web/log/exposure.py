"""How much of the log nobody outside has seen: what could be cut off unnoticed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from audit.client import LogStatus


@dataclass(frozen=True)
class Exposure:
    """The open end of the log.

    Args:
        unseen: Records that no outsider has seen.
        seen: Records that one has.
        when: When that was, None if never.
    """

    unseen: int
    seen: int
    when: datetime | None

    @property
    def kind(self) -> str:
        """`ok` where nothing but what came since is open, `warn` where nobody ever looked."""
        return "warn" if self.when is None else "ok"


def exposure(status: LogStatus) -> Exposure:
    """What the log's status says of it."""
    when = status.witnessed_at
    return Exposure(
        unseen=status.size - status.witnessed,
        seen=status.witnessed,
        when=None if when is None else datetime.fromtimestamp(when, UTC),
    )
