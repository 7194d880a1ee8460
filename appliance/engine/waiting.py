"""Requests that came before their model was loaded: they wait, and not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext

from starlette.requests import ClientDisconnect, Request

from appliance.engine.asgi import hung_up
from appliance.engine.errors import GaveUpError, ModelNotReadyError, QueueFullError
from appliance.engine.flights import Flights
from appliance.engine.keeper import Keeper
from appliance.engine.signals import Signal

_RETRY_SECONDS = 5

Find = Callable[[], Keeper | None]
"""The keeper of what a request asks for, as things are now; None while that is being changed."""


class Waiting:
    """Holds requests back until their model takes them.

    Args:
        flights: knows the requests that wait by their ids.
        signal: told whenever a model changes its state.
        seconds: that a request waits at most.
        most: requests that may wait for one model.
    """

    def __init__(self, flights: Flights, signal: Signal, seconds: float, most: int) -> None:
        """Nobody waits yet."""
        self._flights = flights
        self._signal = signal
        self._seconds = seconds
        self._most = most

    async def ready(self, asked: str, find: Find, request: Request, request_id: str) -> Keeper:
        """The keeper that takes the request now; nothing is awaited after it was found to.

        Args:
            asked: name that the request asks for.
            find: says what that is now.
            request: its body must have been read.
            request_id: for cancelling.

        Raises:
            EngineError: the model can not be had, or not in time; or as `find` raises.
            ClientDisconnect: nobody waits for the answer any more.
        """
        keeper = find()
        if keeper is not None and keeper.takes_requests:
            return keeper
        watch = asyncio.create_task(hung_up(request.receive))
        watch.add_done_callback(lambda _: self._signal.tell())
        try:
            with self._flights.waiting(request_id):
                return await self._wait(asked, find, request_id, watch)
        finally:
            watch.cancel()

    async def _wait(
        self, asked: str, find: Find, request_id: str, watch: asyncio.Task[None]
    ) -> Keeper:
        deadline = time.monotonic() + self._seconds
        while not _takes(keeper := find()):
            if keeper is not None and keeper.waiting >= self._most:
                raise QueueFullError(self._most, _RETRY_SECONDS)
            # Wanted without a gap: between two looks a model that is wanted must not be stopped.
            with nullcontext() if keeper is None else keeper.wanted():
                while find() is keeper and not _takes(keeper):
                    self._look(asked, keeper, deadline)
                    await self._signal.next(deadline - time.monotonic())
                    if watch.done():
                        raise ClientDisconnect
                    if self._flights.is_cancelled(request_id):
                        raise GaveUpError
        assert keeper is not None  # noqa: S101 - what takes requests is there
        return keeper

    def _look(self, asked: str, keeper: Keeper | None, deadline: float) -> None:
        """Return only if there is something to wait for, and time."""
        if keeper is not None:
            keeper.check()
        if time.monotonic() >= deadline:
            raise ModelNotReadyError(asked, _RETRY_SECONDS) if keeper is None else keeper.too_late()


def _takes(keeper: Keeper | None) -> bool:
    return keeper is not None and keeper.takes_requests
