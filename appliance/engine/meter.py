"""What a runner says of itself: counts since the start, load and pace now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from appliance.engine.asgi import json_response
from appliance.engine.pace import Pace
from appliance.engine.tally import Tally

_LOOK_SECONDS = 1.0


class Busy(Protocol):
    """What runs requests."""

    tally: Tally

    @property
    def in_use(self) -> int:
        """Requests that run."""

    @property
    def queued(self) -> int:
        """Requests that wait."""


class Meter:
    """Watches what runs requests.

    Args:
        busy: that.
        tokens: picks what `tokens_per_second` is about.

    `warmed` counts the beginnings that were decoded ahead.
    """

    def __init__(self, busy: Busy, tokens: Callable[[Tally], int]) -> None:
        """Nothing has been seen yet."""
        self._busy = busy
        self._tokens = tokens
        self._pace = Pace()
        self.warmed = 0

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Look every second for as long as the application lives."""
        looking = asyncio.create_task(self._look())
        yield
        looking.cancel()

    async def status(self, _request: Request) -> Response:
        """Answer `GET /status`."""
        tally = self._busy.tally
        now = {
            "in_use": self._busy.in_use,
            "queued": self._busy.queued,
            "warmed": self.warmed,
            "tokens_per_second": self._pace.per_second(time.monotonic(), self._tokens(tally)),
            "pace": self._pace.history(),
        }
        return json_response(asdict(tally) | now)

    async def _look(self) -> None:
        while True:
            self._pace.look(time.monotonic(), self._tokens(self._busy.tally))
            await asyncio.sleep(_LOOK_SECONDS)
