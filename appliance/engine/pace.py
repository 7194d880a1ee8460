"""How fast a counter has grown lately."""

from __future__ import annotations

from collections import deque

WINDOW = 10  # looks that are remembered; at one look a second, seconds


class Pace:
    """Growth of a counter per second, from a look at it every now and then."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self._looks: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def look(self, now: float, count: int) -> None:
        """Remember that the counter stood at `count` at the time `now`, in seconds."""
        self._looks.append((now, count))

    def per_second(self, now: float, count: int) -> float:
        """Growth per second from the oldest look that is remembered until `now`."""
        if not self._looks or now <= self._looks[0][0]:
            return 0.0
        since, then = self._looks[0]
        return (count - then) / (now - since)
