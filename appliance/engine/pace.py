"""How fast a counter has grown lately."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

WINDOW = 10  # looks that the pace now is taken from; at one look a second, seconds
HISTORY = 60  # spans between two looks that are told one by one


class Pace:
    """Growth of a counter per second, from a look at it every now and then."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self._looks: deque[tuple[float, int]] = deque(maxlen=HISTORY + 1)

    def look(self, now: float, count: int) -> None:
        """Remember that the counter stood at `count` at the time `now`, in seconds."""
        self._looks.append((now, count))

    def per_second(self, now: float, count: int) -> float:
        """Growth per second over the last looks, until `now`."""
        if not self._looks:
            return 0.0
        since, then = self._looks[max(0, len(self._looks) - WINDOW)]
        return (count - then) / (now - since) if now > since else 0.0

    def history(self) -> list[float]:
        """Growth per second from each remembered look to the next, the latest last."""
        return [
            round((count - then) / (now - since), 1)
            for (since, then), (now, count) in pairwise(self._looks)
            if now > since
        ]
