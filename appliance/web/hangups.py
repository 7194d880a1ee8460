"""Noticing that a client went away while its answer is still being made.

WSGI tells of a hang-up only when something is written, and nothing is written while a request waits
in the queue, reads its prompt, or is not streamed at all. One thread watches the sockets of all
running requests instead, and cancels at the engine what nobody waits for.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable
from typing import Final

from appliance.engine.errors import EngineError

_logger = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 1.0


class HangUps:
    """Watches sockets, and calls `cancel` with the record id of a request whose client is gone."""

    def __init__(self, cancel: Callable[[str], bool]) -> None:
        """`cancel` says False where the engine does not know the request (yet)."""
        self._cancel = cancel
        self._lock = threading.Lock()
        self._watched: dict[int, str] = {}
        self._poll = select.epoll()
        self._thread = threading.Thread(target=self._run, name="hang-ups", daemon=True)
        self._thread.start()

    def watch(self, client: socket.socket | None, record_id: str) -> Watch:
        """Watch a client's socket until the returned watch is closed.

        None, and a socket that is closed already, watch nothing: writing to it will tell.
        """
        number = -1 if client is None else client.fileno()
        if number < 0:
            return Watch(self, None)
        with self._lock:
            self._watched[number] = record_id
            # One shot: a closed connection stays readable, and the thread would spin.
            self._poll.register(number, select.EPOLLRDHUP | select.EPOLLONESHOT)
        return Watch(self, number)

    def forget(self, number: int) -> None:
        """Stop watching a socket; called by its watch."""
        with self._lock:
            if self._watched.pop(number, None) is not None:
                self._poll.unregister(number)

    def _run(self) -> None:
        gone: set[int] = set()
        while True:
            gone |= {number for number, _ in self._poll.poll(_RETRY_SECONDS if gone else None)}
            gone = {number for number in gone if not self._done(number)}

    def _done(self, number: int) -> bool:
        with self._lock:
            record_id = self._watched.get(number)
        if record_id is None:
            return True
        try:
            return self._cancel(record_id)
        except EngineError as error:
            _logger.warning("can not cancel %s: %s", record_id, error.code)
            return False


class Watch:
    """One watched socket."""

    def __init__(self, owner: HangUps, number: int | None) -> None:
        """Watched by `owner` under a file number."""
        self._owner = owner
        self._number = number

    def close(self) -> None:
        """Stop watching; harmless when done already."""
        if self._number is not None:
            self._owner.forget(self._number)
            self._number = None
