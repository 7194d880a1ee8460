"""A bell for everybody in one event loop who waits for something to change."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Signal:
    """Wakes all who wait; each then looks for itself whether that was what it waited for."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Something has changed."""
        self._event.set()
        self._event = asyncio.Event()

    async def next(self, seconds: float | None = None) -> None:
        """Return at the next change, or after `seconds`, whichever comes first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
