"""Encoders: one thread owns the llama.cpp context and reads texts, many short ones in one step.

An encoder sees a text whole and keeps nothing of it, so there is nothing to schedule: each step
takes the next text of every request that waits, in turn, for as many as fit into `step_tokens`, or
one longer text alone.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from appliance.engine.batch import Batch
from appliance.engine.errors import DecodeError, QueueFullError
from appliance.engine.llama import Loaded
from appliance.engine.options import EngineOptions
from appliance.engine.tally import Tally

_log = logging.getLogger(__name__)
_SMOOTHING = 0.2  # weight of the latest request in the mean duration

Floats = NDArray[np.float32]


@dataclass(eq=False)
class Reading:
    """The texts of one request, and what became of them.

    Args:
        texts: their tokens, with the model's marks.
        make: turns the states of one text's tokens, one row each, into the vector that is asked
            for; the rows are only lent.
    """

    texts: list[list[int]]
    make: Callable[[Floats], Floats]
    vectors: list[Floats] = field(default_factory=list)
    begun: int = 0  # texts that were taken into a step
    since: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> bool:
        """Whether all texts have their vectors."""
        return len(self.vectors) == len(self.texts)

    @property
    def is_sound(self) -> bool:
        """Whether all vectors so far are numbers."""
        return all(bool(np.isfinite(vector).all()) for vector in self.vectors)


class Encoder:
    """Reads texts.

    Args:
        loaded: model and context; only this object's thread touches the context.
        request_context: tokens of one text at most.
        options: sizes.
        deliver: takes requests that are done; called in the thread, once a step at most.
        on_fault: called with the error when encoding can not go on; must end the process.
    """

    def __init__(
        self,
        loaded: Loaded,
        request_context: int,
        options: EngineOptions,
        deliver: Callable[[list[Reading]], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        """Start nothing yet."""
        self.tally = Tally()
        self._loaded = loaded
        self._options = options
        self._deliver = deliver
        self._on_fault = on_fault
        self._batch = Batch(options.reading_tokens(request_context))
        self._wake = threading.Condition()
        self._waiting: deque[Reading] = deque()  # they have texts that are in no step yet
        self._live: set[Reading] = set()
        self._closing = False
        self._mean_seconds = 1.0
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the current step."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    @property
    def in_use(self) -> int:
        """Requests of which texts have been read."""
        return sum(reading.begun > 0 for reading in tuple(self._live))

    @property
    def queued(self) -> int:
        """Requests of which none has been read."""
        return sum(reading.begun == 0 for reading in tuple(self._live))

    def submit(self, reading: Reading) -> None:
        """Queue a request.

        Raises:
            QueueFullError: too many wait already; names a time after which to try again.
        """
        with self._wake:
            if len(self._live) >= self._options.queue + self._options.sequences:
                raise QueueFullError(self._options.queue, self._patience())
            self._live.add(reading)
            self._waiting.append(reading)
            self._wake.notify()

    def cancel(self, reading: Reading) -> None:
        """Forget a request; harmless for one that is done."""
        with self._wake:
            if reading in self._live:
                self._live.discard(reading)
                if reading in self._waiting:
                    self._waiting.remove(reading)

    def _patience(self) -> int:
        """Whole seconds until a queued request is likely to have been served."""
        ahead = len(self._live) / self._options.sequences
        return min(60, max(1, math.ceil(ahead * self._mean_seconds)))

    def _run(self) -> None:
        try:
            while planned := self._next_step():
                began = time.perf_counter()
                self._step(planned)
                self.tally.busy_seconds += time.perf_counter() - began
        except Exception as error:  # the edge of the thread: a failed context is of no more use
            _log.exception("the encoder stopped")
            self._on_fault(error)

    def _next_step(self) -> list[tuple[Reading, list[int]]]:
        """Wait for texts and take those of the next step; none to stop."""
        with self._wake:
            while not (self._waiting or self._closing):
                self._wake.wait()
            return [] if self._closing else self._plan()

    def _plan(self) -> list[tuple[Reading, list[int]]]:
        planned: list[tuple[Reading, list[int]]] = []
        room = self._options.step_tokens
        while self._waiting and len(planned) < self._options.reading_texts:
            reading = self._waiting[0]
            text = reading.texts[reading.begun]
            room -= len(text)
            if planned and room < 0:
                break
            planned.append((reading, text))
            self.tally.requests += reading.begun == 0
            self.tally.prompt_tokens += len(text)
            reading.begun += 1
            self._waiting.popleft()
            if reading.begun < len(reading.texts):
                self._waiting.append(reading)
        return planned

    def _step(self, planned: list[tuple[Reading, list[int]]]) -> None:
        self._batch.clear()
        for number, (_, text) in enumerate(planned):
            self._batch.add(text, 0, number, len(text))
        began = time.perf_counter()
        code = self._loaded.encode(self._batch.seal())
        self.tally.decode_seconds += time.perf_counter() - began
        if code != 0:
            raise DecodeError(f"llama_encode returned {code}.")
        states, at = self._loaded.states(len(self._batch)), 0
        for reading, text in planned:
            reading.vectors.append(reading.make(states[at : at + len(text)]))
            at += len(text)
        self.tally.steps += 1
        self._hand_over()

    def _hand_over(self) -> None:
        now = time.monotonic()
        with self._wake:
            over = [reading for reading in self._live if reading.done]
            self._live.difference_update(over)
        for reading in over:
            self._mean_seconds += _SMOOTHING * (now - reading.since - self._mean_seconds)
        if over:
            self._deliver(over)
