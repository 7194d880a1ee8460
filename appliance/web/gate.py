"""How many generations may run at once in one worker."""

from __future__ import annotations

import threading
from collections import Counter

from appliance.web.api.errors import ApiError

_RESERVED = 4  # threads of a worker kept for pages, health checks and short requests
_RETRY_SECONDS = 2


class Gate:
    """Lets requests in while there are threads for them.

    A generation holds a thread until it ends. Without a bound, one busy system could hold them
    all, and nobody could sign in, look at /healthz or stop anything.
    """

    def __init__(self, threads: int) -> None:
        """For a worker with so many threads."""
        self._most = max(1, threads - _RESERVED)
        self._most_per_key = max(1, self._most // 2 + self._most % 2)
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    def enter(self, key: str) -> None:
        """Take a place for a request of this key; `leave` gives it back.

        Raises:
            ApiError: 429 where the key has too many running, 503 where all of them together have.
        """
        with self._lock:
            if self._running[key] >= self._most_per_key:
                raise ApiError(
                    429,
                    "rate_limit_exceeded",
                    f"This key has {self._most_per_key} requests running, the most that it may; "
                    "wait for one of them.",
                    retry_after=_RETRY_SECONDS,
                )
            if self._running.total() >= self._most:
                raise ApiError(
                    503,
                    "busy",
                    "All places for answers are taken; try again shortly.",
                    retry_after=_RETRY_SECONDS,
                )
            self._running[key] += 1

    def leave(self, key: str) -> None:
        """Give the place back."""
        with self._lock:
            self._running[key] -= 1
            if self._running[key] <= 0:
                del self._running[key]
