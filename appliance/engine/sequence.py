"""What the scheduler knows of one sequence: one choice of one request."""

from __future__ import annotations

import time
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from appliance.engine.grammar import GrammarState
from appliance.engine.llama import Adapter
from appliance.engine.lookup import Lookup
from appliance.engine.sampling import Sampler, Sampling, TokenLogprobs

NO_SLOT = -1


class Finish(StrEnum):
    """Why a sequence ended. `failed` never leaves the engine as a finish reason."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Sink(Protocol):
    """Where a sequence's tokens go; called in the event loop's thread only."""

    def started(self) -> None:
        """The sequence has left the queue."""

    def take(
        self, tokens: Tokens[int], logprobs: TokenLogprobs | None, finish: Finish | None
    ) -> None:
        """New tokens, and why there will be no more if so."""


@dataclass(eq=False, slots=True)
class Sequence:
    """One sequence from submission to its end. Only the scheduler's thread changes it.

    `tokens` are all that are known: prompt, then answer. The first `decoded` of them are in the KV
    cache. A fresh prompt, forced tokens and a sequence that lost its cache differ only in how many
    are still to be decoded.
    """

    sink: Sink
    sampling: Sampling
    seed: int
    tokens: list[int]
    limit: int  # tokens of prompt and answer at most
    grammar: GrammarState | None = None
    sampler: Sampler | None = None
    lookup: Lookup | None = None
    slot: int = NO_SLOT
    decoded: int = 0
    shared: int = 0  # leading cells that belong to the group's prompt, not to this sequence alone
    cancelled: bool = False
    finished: bool = False
    source: list[int] = field(default_factory=list)  # what an encoder reads before the first token
    adapter: Adapter | None = None  # that changes the model for this sequence

    @property
    def pending(self) -> int:
        """Known tokens that are not in the KV cache yet."""
        return len(self.tokens) - self.decoded

    @property
    def room(self) -> int:
        """Tokens that may still be appended."""
        return self.limit - len(self.tokens)


def ending(sequence: Sequence) -> Finish | None:
    """Why a sequence has ended with the tokens that it has, None if it goes on."""
    grammar = sequence.grammar
    if sequence.room >= 0 and grammar is not None and grammar.finished:
        return Finish.STOP
    return Finish.LENGTH if sequence.room <= 0 else None


@dataclass(eq=False, slots=True)
class Group:
    """Sequences that share one prompt; it is decoded once, in the first that lives.

    The others wait in their slots until then.
    """

    members: list[Sequence]
    prompt_length: int
    since: float = field(default_factory=time.monotonic)
    forked: bool = False
    leader: tuple[Sequence, int] | None = None  # decodes so many tokens that this prompt shares
    announced: bool = False  # the sinks know that it has left the queue

    @property
    def live(self) -> list[Sequence]:
        """Members that have not ended."""
        return [member for member in self.members if not member.finished]

    @property
    def adapter(self) -> Adapter | None:
        """What changes the model for all members."""
        return self.members[0].adapter

    @property
    def first(self) -> Sequence:
        """The live member whose prompt is decoded."""
        return self.live[0]

    @property
    def read_tokens(self) -> int:
        """Tokens that are taken in before the first one is drawn."""
        return self.prompt_length + sum(len(member.source) for member in self.members)

    def cells(self) -> int:
        """KV cells that the group's known tokens need, its shared prompt counted once."""
        live = self.live
        if not live:
            return 0
        if not self.forked:
            return len(live[0].tokens)
        shared = max(member.shared for member in live)
        return shared + sum(len(member.tokens) - member.shared for member in live)
