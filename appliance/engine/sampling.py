"""From logits to a token: llama.cpp's samplers in C, one chain and one random generator a sequence.

A chain is owned by one sequence alone, so what its random generator yields does not depend on what
else is in the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from appliance.engine.llama import Loaded, sampler_accept, sampler_sample

SEEDS = 0xFFFFFFFF  # llama.cpp takes 32 bits and keeps the last value for "any seed"


@dataclass(frozen=True)
class Sampling:
    """Parameters of one request, as in OpenAI's API; `top_k` 0 and `min_p` 0 mean off.

    `top_logprobs` is None where no log-probabilities are wanted.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int | None = None

    @property
    def is_argmax(self) -> bool:
        """Whether the most likely token is the answer as it stands."""
        return self.temperature == 0.0 and not self.shapes_logits

    @property
    def shapes_logits(self) -> bool:
        """Whether logits are changed before a token is picked."""
        return bool(self.logit_bias or self.presence_penalty or self.frequency_penalty)


class Sampler:
    """Picks tokens of one sequence; belongs to the thread that owns the context.

    Order: bias, penalties (over the answer's own tokens), temperature, top-k, top-p, min-p, draw.
    """

    def __init__(self, sampling: Sampling, seed: int, loaded: Loaded) -> None:
        """Build the chain; `seed` may be any integer, it is folded to 32 bits."""
        self._context = loaded.context
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for part in _parts(sampling, seed, loaded):
            lib.llama_sampler_chain_add(self._chain, part)

    def sample(self, row: int) -> int:
        """Pick and accept a token from the logits of batch position `row`."""
        token: int = sampler_sample(self._chain, self._context, row)
        return token

    def accept(self, token: int) -> None:
        """Count a token that was not sampled (a grammar forced it) for the penalties."""
        sampler_accept(self._chain, token)

    def free(self) -> None:
        """Give the chain back; the sampler must not be used afterwards."""
        lib.llama_sampler_free(self._chain)


def _parts(sampling: Sampling, seed: int, loaded: Loaded) -> Iterable[Any]:
    size = loaded.vocabulary_size
    if sampling.logit_bias:
        pairs = [lib.llama_logit_bias(token, bias) for token, bias in sampling.logit_bias.items()]
        array = (lib.llama_logit_bias * len(pairs))(*pairs)
        yield lib.llama_sampler_init_logit_bias(size, len(pairs), array)
    if sampling.presence_penalty or sampling.frequency_penalty:
        yield lib.llama_sampler_init_penalties(
            size, loaded.kv_tokens, 1.0, sampling.frequency_penalty, sampling.presence_penalty
        )
    if sampling.temperature == 0.0:
        yield lib.llama_sampler_init_greedy()
        return
    yield lib.llama_sampler_init_temp(sampling.temperature)
    if sampling.top_k:
        yield lib.llama_sampler_init_top_k(sampling.top_k)
    if sampling.top_p < 1.0:
        yield lib.llama_sampler_init_top_p(sampling.top_p, 1)
    if sampling.min_p > 0.0:
        yield lib.llama_sampler_init_min_p(sampling.min_p, 1)
    yield lib.llama_sampler_init_dist(seed % SEEDS)


@dataclass(frozen=True)
class TokenLogprobs:
    """Natural log-probabilities at one place: of the token taken and of the most likely ones."""

    logprob: float
    top: tuple[tuple[int, float], ...]


class LogprobTable:
    """Log-probabilities of one row of logits, before bias, penalties, temperature and grammar."""

    def __init__(self, row: NDArray[np.float32], count: int) -> None:
        """Copy what is needed of `row`; `count` alternatives are listed."""
        peak = float(row.max())
        self._row = row.astype(np.float64) - peak
        self._row -= np.log(np.exp(self._row).sum())
        self._count = count

    def of(self, token: int) -> TokenLogprobs:
        """The entry for a token that was taken here."""
        top: tuple[tuple[int, float], ...] = ()
        if self._count:
            likely = np.argpartition(self._row, -self._count)[-self._count :]
            likely = likely[np.argsort(-self._row[likely], kind="stable")]
            top = tuple((int(index), float(self._row[index])) for index in likely)
        return TokenLogprobs(float(self._row[token]), top)
