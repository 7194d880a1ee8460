"""Requests under way: by id, for cancelling; by runner, for draining it before it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Flights:
    """The requests that runners are answering now."""

    def __init__(self) -> None:
        """None yet."""
        self._sockets: dict[str, Path] = {}
        self._landed = asyncio.Event()

    def __contains__(self, request_id: object) -> bool:
        """Whether a request of this id is under way."""
        return request_id in self._sockets

    def runner_of(self, request_id: str) -> Path | None:
        """The socket of the runner that answers a request; None where no such request lives."""
        return self._sockets.get(request_id)

    @contextmanager
    def flight(self, request_id: str, socket: Path) -> Iterator[None]:
        """A request to the runner at `socket`, known under its id meanwhile."""
        self._sockets[request_id] = socket
        try:
            yield
        finally:
            self._sockets.pop(request_id, None)
            self._landed.set()

    async def drained(self, socket: Path) -> None:
        """Wait until no request is under way at the runner of `socket`."""
        while socket in self._sockets.values():
            self._landed.clear()
            await self._landed.wait()
