"""Requests under way: by id, for cancelling; by runner, for stopping none that still answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.engine.signals import Signal


class Flights:
    """The requests that runners are answering now, and those that wait for a runner.

    Args:
        signal: told whenever a request ends or is cancelled.
    """

    def __init__(self, signal: Signal) -> None:
        """None yet."""
        self._signal = signal
        self._sockets: dict[str, Path] = {}
        self._busy: Counter[Path] = Counter()
        self._used: dict[Path, float] = {}
        self._waiting: dict[str, bool] = {}  # whether it was cancelled

    def __contains__(self, request_id: object) -> bool:
        """Whether a request of this id is under way."""
        return request_id in self._sockets or request_id in self._waiting

    def runner_of(self, request_id: str) -> Path | None:
        """The socket of the runner that answers a request; None where no such request lives."""
        return self._sockets.get(request_id)

    def is_busy(self, socket: Path) -> bool:
        """Whether the runner at `socket` is answering anything."""
        return self._busy[socket] > 0

    def used(self, socket: Path) -> float:
        """When the last request to a runner ended, on the monotonic clock; 0 if none has."""
        return self._used.get(socket, 0.0)

    @contextmanager
    def flight(self, request_id: str, socket: Path) -> Iterator[None]:
        """A request to the runner at `socket`, known under its id meanwhile."""
        self._sockets[request_id] = socket
        self._busy[socket] += 1
        try:
            yield
        finally:
            self._sockets.pop(request_id, None)
            self._busy[socket] -= 1
            self._used[socket] = time.monotonic()
            self._signal.tell()

    @contextmanager
    def waiting(self, request_id: str) -> Iterator[None]:
        """A request that waits for a runner, known under its id meanwhile."""
        self._waiting[request_id] = False
        try:
            yield
        finally:
            del self._waiting[request_id]

    def cancel_waiting(self, request_id: str) -> bool:
        """Have a request give up waiting; False where none of this id waits."""
        if request_id not in self._waiting:
            return False
        self._waiting[request_id] = True
        self._signal.tell()
        return True

    def is_cancelled(self, request_id: str) -> bool:
        """Whether a request that waits was told to give up."""
        return self._waiting.get(request_id, False)

    async def drained(self, socket: Path) -> None:
        """Wait until no request is under way at the runner of `socket`."""
        while self.is_busy(socket):
            await self._signal.next()

    def forget(self, socket: Path) -> None:
        """Drop what is remembered of a runner that has ended for good."""
        if not self.is_busy(socket):
            self._busy.pop(socket, None)
            self._used.pop(socket, None)
