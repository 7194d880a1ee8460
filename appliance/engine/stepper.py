"""One decode step: fills the batch, runs it, and draws tokens from its logits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from appliance.engine.batch import Batch
from appliance.engine.errors import DecodeError
from appliance.engine.grammar import GrammarState
from appliance.engine.llama import (
    Adapter,
    Loaded,
    memory_clear,
    memory_seq_cp,
    memory_seq_rm,
    use_adapter,
)
from appliance.engine.lookup import NONE, Guesses, Habits, Lookup
from appliance.engine.options import EngineOptions
from appliance.engine.sampling import LogprobTable, Sampler, TokenLogprobs
from appliance.engine.sequence import Finish, Sequence, ending

_NO_ROOM = 1  # llama_decode: no slot in the KV cache for this batch


class Drawn(NamedTuple):
    """Tokens that one sequence gained in a step: one sampled, then those that it forces."""

    tokens: list[int]
    logprobs: TokenLogprobs | None
    finish: Finish | None
    forced: int = 0  # of the tokens: by a grammar, without sampling
    drafted: int = 0  # tokens that were guessed in this step
    accepted: int = 0  # guesses that proved right


class Stepper:
    """Everything that touches the context. Belongs to the scheduler's thread.

    Args:
        loaded: model and context.
        ends: tokens that end an answer.
        options: sizes.
    """

    def __init__(self, loaded: Loaded, ends: frozenset[int], options: EngineOptions) -> None:
        """Allocate the batch and empty the cache."""
        self._loaded = loaded
        self._ends = ends
        self._draft = options.draft if loaded.shared else 0
        self._batch = Batch(options.step_capacity)
        self._planned: list[tuple[Sequence, int]] = []
        self._rows: dict[int, int] = {}
        self._drafts: dict[int, list[int]] = {}
        self._habits = Habits()
        self._tables: dict[int, LogprobTable] = {}
        self._logits: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
        self._best: list[int] = []
        self._sound: list[bool] = []
        self._adapter: Adapter | None = None  # that the context applies now
        self.reset()

    @property
    def kv_tokens(self) -> int:
        """Cells of the KV cache."""
        return self._loaded.kv_tokens

    @property
    def shares(self) -> bool:
        """Whether sequences can share cells."""
        return self._loaded.shared

    @property
    def planned(self) -> int:
        """Tokens in the step so far."""
        return len(self._batch)

    @property
    def spoilt_by(self) -> Adapter | None:
        """The adapter that the step had, if it made probabilities that are no numbers."""
        return None if all(self._sound) else self._adapter

    def prepare(self, sequence: Sequence, prompt_length: int) -> None:
        """Make what a sequence needs to sample, when it first leaves the queue."""
        guessable = sequence.grammar is None and sequence.sampling.top_logprobs is None
        if self._draft and guessable:
            sequence.lookup = Lookup(self._habits, prompt_length)
        if not sequence.sampling.is_argmax:
            sequence.sampler = Sampler(sequence.sampling, sequence.seed, self._loaded)
            for token in sequence.tokens[prompt_length:]:
                sequence.sampler.accept(token)

    def retire(self, sequence: Sequence) -> None:
        """Give back what `prepare` made."""
        sequence.lookup = None
        if sequence.sampler is not None:
            sequence.sampler.free()
            sequence.sampler = None

    def forget(self, sequence: Sequence) -> None:
        """Free the sequence's cells."""
        memory_seq_rm(self._loaded.memory, sequence.slot, -1, -1)

    def forget_slot(self, slot: int) -> None:
        """Free the cells of a slot that holds a kept beginning."""
        memory_seq_rm(self._loaded.memory, slot, -1, -1)

    def keep(self, sequence: Sequence, slot: int) -> None:
        """Let `slot` share the sequence's cells, so that they outlive it."""
        memory_seq_cp(self._loaded.memory, sequence.slot, slot, 0, sequence.decoded)

    def share(self, slot: int, target: Sequence, count: int) -> None:
        """Let `target`, which has no cells, share the first `count` cells of a slot."""
        memory_seq_cp(self._loaded.memory, slot, target.slot, 0, count)
        target.decoded = count

    def reset(self) -> None:
        """Forget all sequences; the next one starts at the first cell."""
        memory_clear(self._loaded.memory, False)

    def wipe(self) -> None:
        """Forget all sequences, and overwrite the numbers that they left."""
        memory_clear(self._loaded.memory, True)

    def copy(self, source: Sequence, target: Sequence) -> None:
        """Let `target` share all cells of `source`, without copying them."""
        memory_seq_cp(self._loaded.memory, source.slot, target.slot, -1, -1)
        target.decoded = source.decoded

    def clear(self) -> None:
        """Begin a new step."""
        self._batch.clear()
        self._planned.clear()
        self._rows.clear()
        self._drafts.clear()
        self._tables.clear()

    def add(self, sequence: Sequence, count: int, draft: list[int] | None = None) -> int:
        """Put a sequence's next `count` known tokens into the step, and guesses behind them.

        Returns:
            The batch position of the last known token; it has logits if no other is left, and
            with an adapter always: they tell whether the adapter made numbers.
        """
        start, guesses = sequence.decoded, draft or []
        outputs = 1 + len(guesses) if count == sequence.pending else 0
        if sequence.adapter is not None:
            outputs = max(1, outputs)
        tokens = [*sequence.tokens[start : start + count], *guesses]
        row = self._batch.add(tokens, start, sequence.slot, outputs)
        sequence.decoded += len(tokens)
        self._planned.append((sequence, len(tokens)))
        for place in range(row, row + outputs):
            self._rows[place] = len(self._rows)
        if guesses:
            self._drafts[row] = guesses
        return row

    def guesses(self, sequence: Sequence) -> Guesses:
        """What may follow a sequence's last token, often nothing."""
        if sequence.lookup is None:
            return NONE
        return sequence.lookup.draft(sequence.tokens, min(self._draft, sequence.room - 1))

    def decode(self) -> bool:
        """Run the step; False, with all as before, if the KV cache has no room for it.

        All of its sequences have the same adapter, or none.

        Raises:
            DecodeError: llama.cpp failed; the context can not be used any more.
        """
        adapter = self._planned[0][0].adapter
        if adapter is not self._adapter:
            use_adapter(self._loaded.context, adapter)
            self._adapter = adapter
        code = self._loaded.decode(self._batch.seal())
        if code == _NO_ROOM:
            for sequence, count in self._planned:
                sequence.decoded -= count
            return False
        if code != 0:
            raise DecodeError(f"llama_decode returned {code}.")
        if self._rows:
            self._logits = self.read_logits(len(self._rows))
            best = self._logits.argmax(axis=1)
            peaks = self._logits[np.arange(len(best)), best]
            self._best = best.tolist()
            self._sound = np.isfinite(peaks).tolist()  # a NaN is the maximum of its row
        return True

    def read_logits(self, rows: int) -> NDArray[np.float32]:
        """The step's logits, one row an output; a view that may be written."""
        return self._loaded.logits(rows)

    def sample(self, sequence: Sequence, row: int) -> Drawn:
        """Draw a token for `sequence` from the logits at batch position `row` and append it."""
        index = self._rows[row]
        try:
            drawn = self._draw(sequence, row, index)
            guesses = self._drafts.get(row)
            return drawn if guesses is None else self._check(sequence, row, drawn, guesses)
        except DecodeError:
            return Drawn([], None, Finish.FAILED)

    def _check(self, sequence: Sequence, row: int, drawn: Drawn, guesses: list[int]) -> Drawn:
        """Go on drawing while the guesses are what is drawn; free the cells of the rest.

        Each token is drawn from the logits that it would have been drawn from without guesses.
        """
        tokens, finish, accepted = list(drawn.tokens), drawn.finish, 0
        while finish is None and accepted < len(guesses) and tokens[-1] == guesses[accepted]:
            accepted += 1
            place = row + accepted
            following = self._draw(sequence, place, self._rows[place])
            tokens += following.tokens
            finish = following.finish
        wrong = len(guesses) - accepted
        if wrong:
            sequence.decoded -= wrong
            memory_seq_rm(self._loaded.memory, sequence.slot, sequence.decoded, -1)
        return Drawn(tokens, None, finish, drafted=len(guesses), accepted=accepted)

    def _draw(self, sequence: Sequence, row: int, index: int) -> Drawn:
        if not self._sound[index]:
            return Drawn([], None, Finish.FAILED)
        grammar = sequence.grammar
        logprobs = self._table(sequence, index)
        token = self._best[index]
        if grammar is not None:
            grammar.restrict(self._logits[index])
            token = int(self._logits[index].argmax())
        if sequence.sampler is not None:
            token = sequence.sampler.sample(row)
        if token in self._ends:
            return Drawn([], None, Finish.STOP)
        tokens = [token] if grammar is None else [token, *self._forced(sequence, grammar, token)]
        sequence.tokens += tokens
        finish = ending(sequence)
        kept = tokens[: len(tokens) + min(0, sequence.room)]
        entry = None if logprobs is None else logprobs.of(token)
        return Drawn(kept, entry, finish, forced=max(0, len(kept) - 1))

    def _table(self, sequence: Sequence, index: int) -> LogprobTable | None:
        """Log-probabilities of a row, taken before a grammar changes it; siblings share it."""
        wanted = sequence.sampling.top_logprobs
        if wanted is None:
            return None
        if index not in self._tables:
            self._tables[index] = LogprobTable(self._logits[index], wanted)
        return self._tables[index]

    def _forced(self, sequence: Sequence, grammar: GrammarState, token: int) -> list[int]:
        forced = grammar.take(token)
        if sequence.sampler is not None:
            for each in forced:
                sequence.sampler.accept(each)
        return forced
