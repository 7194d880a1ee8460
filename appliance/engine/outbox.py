"""Hands what sequences gained over to the event loop: at once where it is urgent, else together."""

from __future__ import annotations

import time
from collections.abc import Callable

from appliance.engine.sampling import TokenLogprobs
from appliance.engine.sequence import Finish, Sink

Event = tuple[Sink, list[int], TokenLogprobs | None, Finish | None]
"""A sink, its new tokens, their log-probabilities, why it ended. No tokens and no end: started."""

_SECONDS = 0.004  # between two deliveries; nobody reads faster, and each wakes a whole chain up


class Outbox:
    """Belongs to the scheduler's thread.

    A small model makes thousands of tokens a second. Each delivery wakes the event loop, the
    supervisor, the web process and the client, which together cost more than the token.

    Args:
        deliver: takes events in order.
    """

    def __init__(self, deliver: Callable[[list[Event]], None]) -> None:
        """Hold nothing."""
        self._deliver = deliver
        self._held: list[Event] = []
        self._delivered = 0.0

    def put(self, events: list[Event]) -> None:
        """Deliver ends and starts at once; other tokens with them, or when some time has passed.

        Whoever puts tokens in must go on to do so: the end of a sequence takes the last ones out.
        """
        self._held += events
        now = time.perf_counter()
        urgent = any(finish is not None or not tokens for _, tokens, _, finish in events)
        if urgent or now - self._delivered >= _SECONDS:
            self._deliver(self._held)
            self._held, self._delivered = [], now
