"""Hands what sequences gained over to the event loop: at once where it is urgent, else together."""

from __future__ import annotations

import time
from collections.abc import Callable

from appliance.engine.sampling import TokenLogprobs
from appliance.engine.sequence import Finish, Sink

Event = tuple[Sink, list[int], TokenLogprobs | None, Finish | None]
"""A sink, its new tokens, their log-probabilities, why it ended. No tokens and no end: started."""

# Between two deliveries. Each wakes the event loop, the supervisor, the web process and the client,
# which together cost more than the tokens of a small model; and a screen shows no more in a second.
_SECONDS = 0.02


class Outbox:
    """Belongs to the scheduler's thread.

    Urgent are the start of a sequence, its first tokens, and its end.

    Args:
        deliver: takes events in order.
        clock: seconds.
    """

    def __init__(
        self, deliver: Callable[[list[Event]], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Hold nothing."""
        self._deliver = deliver
        self._clock = clock
        self._held: dict[Sink, list[Event]] = {}
        self._speaking: set[Sink] = set()
        self._delivered = -_SECONDS

    def put(self, events: list[Event]) -> None:
        """Deliver what is urgent, or everything when some time has passed.

        Whoever puts tokens in must go on to do so: the end of a sequence takes its last ones out.
        """
        urgent = [event[0] for event in events if self._take(event)]
        now = self._clock()
        if now - self._delivered >= _SECONDS:
            self._delivered = now
            urgent = list(self._held)
        ready = [event for sink in urgent for event in self._held.pop(sink, ())]
        if ready:
            self._deliver(ready)

    def _take(self, event: Event) -> bool:
        """Hold an event; whether it is urgent."""
        sink, tokens, logprobs, finish = event
        held = self._held.setdefault(sink, [])
        if held and held[-1][1] and logprobs is None and held[-1][2] is None:
            held[-1] = (sink, held[-1][1] + tokens, None, finish)
        else:
            held.append(event)
        is_first = sink not in self._speaking
        if finish is not None:
            self._speaking.discard(sink)
        elif tokens:
            self._speaking.add(sink)
        return is_first or finish is not None
