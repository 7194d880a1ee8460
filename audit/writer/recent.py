"""Events appended lately, so that a client's retry gets its first receipt and no second record."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_KEPT: Final = 2048  # events


class RecentEvents:
    """The newest events of this process: what was recorded under each, and where."""

    def __init__(self) -> None:
        """Start with none."""
        self._events: OrderedDict[bytes, tuple[bytes, int, int]] = OrderedDict()

    def add(self, event: bytes, digest: bytes, index: int, size: int) -> None:
        """Remember a durable record.

        Args:
            event: its event id, 16 bytes.
            digest: of the request.
            index: its place in the log.
            size: of the log at its checkpoint.
        """
        self._events[event] = (digest, index, size)
        if len(self._events) > _KEPT:
            self._events.popitem(last=False)

    def get(self, event: bytes) -> tuple[bytes, int, int] | None:
        """Digest, index and checkpoint size of an event, if it is remembered."""
        return self._events.get(event)
