"""Run sequences through a scheduler in this process and collect what they say."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

from appliance.engine.grammar import CompiledSchema, GrammarState
from appliance.engine.llama import Adapter, Loaded
from appliance.engine.options import EngineOptions
from appliance.engine.outbox import Event
from appliance.engine.sampling import Sampling, TokenLogprobs
from appliance.engine.scheduler import Scheduler
from appliance.engine.sequence import Finish, Group, Sequence
from appliance.engine.stepper import Stepper
from appliance.engine.vocab import Vocabulary

GREEDY = Sampling(temperature=0.0)


@dataclass(eq=False)
class Heard:
    """A sink that keeps everything."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    finish: Finish | None = None
    has_started: bool = False
    ended_at: float = math.inf
    some: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def started(self) -> None:
        self.has_started = True

    def take(
        self, tokens: Tokens[int], logprobs: TokenLogprobs | None, finish: Finish | None
    ) -> None:
        self.tokens += tokens
        self.some.set()
        if logprobs is not None:
            self.logprobs.append(logprobs)
        if finish is not None:
            assert self.finish is None, "a sequence ended twice"
            self.finish = finish
            self.ended_at = time.monotonic()
            self.ended.set()

    def wait(self) -> list[int]:
        assert self.ended.wait(30), "the sequence did not end"
        return self.tokens


class Bench:
    """A scheduler on a loaded model; `with` starts and ends it."""

    def __init__(self, loaded: Loaded, vocabulary: Vocabulary, options: EngineOptions) -> None:
        self.vocabulary = vocabulary
        self.faults: list[Exception] = []
        self.options = options
        # Random weights say "end" at random; the tests want full-length answers.
        self.scheduler = Scheduler(
            Stepper(loaded, frozenset(), options), options, self._deliver, self.faults.append
        )

    def __enter__(self) -> Bench:
        self.scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.scheduler.close()
        assert not self.faults

    def _deliver(self, events: list[Event]) -> None:
        for sink, tokens, logprobs, finish in events:
            if tokens or finish is not None:
                sink.take(tokens, logprobs, finish)
            else:
                sink.started()

    def sequence(
        self,
        prompt: str,
        most: int,
        sampling: Sampling = GREEDY,
        seed: int = 1,
        schema: CompiledSchema | None = None,
        adapter: Adapter | None = None,
    ) -> tuple[Heard, Sequence, int]:
        heard = Heard()
        tokens = [self.vocabulary.bos, *self.vocabulary.plain(prompt)]
        grammar = None if schema is None else GrammarState(schema, self.vocabulary.size)
        forced = [] if grammar is None else grammar.forced()
        limit = len(tokens) + most
        sequence = Sequence(heard, sampling, seed, tokens + forced, limit, grammar, adapter=adapter)
        return heard, sequence, len(tokens)

    def start(
        self,
        prompt: str,
        most: int = 20,
        sampling: Sampling = GREEDY,
        seed: int = 1,
        schema: CompiledSchema | None = None,
        choices: int = 1,
        adapter: Adapter | None = None,
    ) -> tuple[list[Heard], list[Sequence]]:
        made = [
            self.sequence(prompt, most, sampling, seed + index, schema, adapter)
            for index in range(choices)
        ]
        self.scheduler.submit([Group([sequence for _, sequence, _ in made], made[0][2])])
        return [heard for heard, _, _ in made], [sequence for _, sequence, _ in made]

    def say(
        self,
        prompt: str,
        most: int = 20,
        sampling: Sampling = GREEDY,
        seed: int = 1,
        schema: CompiledSchema | None = None,
        adapter: Adapter | None = None,
    ) -> Heard:
        heard = self.start(prompt, most, sampling, seed, schema, adapter=adapter)[0][0]
        heard.wait()
        return heard
