"""Sizes that an operator sets, and limits that nobody may pass."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.catalogue.architectures import Nature
from appliance.engine.errors import OptionsError

ALL_LAYERS = -1
FLASH_ATTENTION = ("auto", "on", "off")
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""Number formats of a KV cache that llama.cpp offers, the largest first."""
_WHOLE_TYPES = ("f32", "f16", "bf16")

_DRAFTING = 4  # sequences whose longest drafts fit into one step
# Below 64 tokens in a step, llama.cpp's attention on the CPU takes each token by itself and skips
# the cells that it may not see; from there on it computes whole tiles of 64 tokens by 64 cells.
_ANSWER_TOKENS = 63
_SEQUENCES = 256  # llama.cpp's LLAMA_MAX_SEQ


@dataclass(frozen=True)
class EngineOptions:
    """What one runner may use. All numbers as in `appliance.settings`."""

    threads: int = 0  # of llama.cpp; 0 means all cores
    sequences: int = 16  # decoded at the same time
    context: int = 0  # tokens of the KV cache; 0 means 4 requests, or one a sequence if exact
    queue: int = 64  # requests that may wait
    step_tokens: int = 256  # tokens that a step which reads prompts carries at most
    prefixes: int = 8  # beginnings of ended requests that stay in the KV cache
    draft: int = 15  # tokens of an answer guessed from its own prompt at once
    exact: bool = False  # each sequence has cells of its own; nothing is shared or guessed
    gpu_layers: int = 0  # layers that a GPU computes; -1 means all
    flash_attention: str = "auto"  # one of FLASH_ATTENTION
    cache_type_k: str = "f16"  # of the cached keys, one of CACHE_TYPES
    cache_type_v: str = "f16"  # of the cached values

    def __post_init__(self) -> None:
        """Refuse what llama.cpp can not do.

        Raises:
            OptionsError: quantised values without flash attention.
        """
        if self.flash_attention == "off" and self.cache_type_v not in _WHOLE_TYPES:
            raise OptionsError(
                f"engine_cache_type_v is {self.cache_type_v}, and quantised values need flash"
                " attention: set engine_flash_attention to auto or on, or engine_cache_type_v to"
                " f16."
            )

    @property
    def thread_count(self) -> int:
        """Threads to decode with: as set, or all cores that this process may use."""
        return self.threads or len(os.sched_getaffinity(0))

    @property
    def processor(self) -> str:
        """What a runner computes on, for people."""
        threads = f"CPU, {self.thread_count} thread{'s' * (self.thread_count != 1)}"
        if self.gpu_layers == 0:
            return threads
        layers = "all layers" if self.gpu_layers == ALL_LAYERS else f"{self.gpu_layers} layers"
        return f"GPU, {layers}; {threads}"

    def kv_tokens(self, request_context: int) -> int:
        """Tokens of the KV cache for a model whose requests have `request_context` at most."""
        return self.context or (self.sequences if self.exact else 4) * request_context

    @property
    def drafts(self) -> int:
        """Guessed tokens that one decode step carries at most."""
        return _DRAFTING * self.draft

    @property
    def answer_capacity(self) -> int:
        """Tokens that a step of answers carries at most: sampled, forced and guessed ones."""
        return max(self.sequences, _ANSWER_TOKENS)

    @property
    def step_capacity(self) -> int:
        """Tokens that one decode step carries at most, of either kind."""
        return max(self.step_tokens, self.answer_capacity)

    @property
    def slots(self) -> int:
        """Sequence ids of llama.cpp: of live sequences, and of kept beginnings behind them."""
        return self.sequences + (0 if self.exact else self.prefixes)

    @property
    def outputs(self) -> int:
        """Tokens of one decode step that get probabilities, at most.

        llama.cpp gives up on fewer than it has sequence ids.
        """
        drafts = 0 if self.exact else self.drafts
        return max(min(self.sequences + drafts, self.answer_capacity), self.slots)

    @property
    def reading_texts(self) -> int:
        """Texts that one step of an encoder carries at most."""
        return min(self.step_tokens, _SEQUENCES)

    def reading_tokens(self, request_context: int) -> int:
        """Tokens that one step of an encoder carries at most: an encoder sees a text whole."""
        return max(self.step_tokens, request_context)

    def fitting(self, nature: Nature, request_context: int) -> EngineOptions:
        """The sizes for a model that works in a certain way.

        llama.cpp keeps what an encoder-decoder has read once in a context: such a model takes
        one sequence at a time, reads its text in one step, and shares and guesses nothing.
        """
        if nature is not Nature.ENCODER_DECODER:
            return self
        return replace(
            self,
            sequences=1,
            context=request_context,
            step_tokens=max(self.step_tokens, request_context),
            prefixes=0,
            draft=0,
            exact=True,
        )

    def arguments(self) -> list[str]:
        """The same sizes as command line arguments."""
        return [
            f"--threads={self.threads}",
            f"--sequences={self.sequences}",
            f"--context={self.context}",
            f"--queue={self.queue}",
            f"--step-tokens={self.step_tokens}",
            f"--prefixes={self.prefixes}",
            f"--draft={self.draft}",
            *(["--exact"] if self.exact else []),
            f"--gpu-layers={self.gpu_layers}",
            f"--flash-attention={self.flash_attention}",
            f"--cache-type-k={self.cache_type_k}",
            f"--cache-type-v={self.cache_type_v}",
        ]


@dataclass(frozen=True)
class ResidencyOptions:
    """Which models may be in memory together. As in `appliance.settings`."""

    memory_mib: int = 0  # that all runners may hold together; 0 means what the machine gives
    wait_seconds: int = 60  # that a request waits at most until its model is loaded
    pinned: tuple[str, ...] = ()  # models and aliases that are not stopped to make room

    def arguments(self) -> list[str]:
        """The same as command line arguments."""
        return [
            f"--memory-mib={self.memory_mib}",
            f"--wait-seconds={self.wait_seconds}",
            *(f"--pin={name}" for name in self.pinned),
        ]


@dataclass(frozen=True)
class Limits:
    """Bounds on one request; each is enforced with a 400 that names it."""

    body_bytes: int = 16 * 1024 * 1024  # request body
    messages: int = 512  # messages of one chat
    prompts: int = 64  # prompts of one plain completion
    inputs: int = 2048  # texts that one request has embedded or classified
    stops: int = 16  # stop strings
    stop_chars: int = 256  # characters of one stop string
    biases: int = 1024  # entries of logit_bias
    top_logprobs: int = 20  # alternatives listed per token
    schema_bytes: int = 128 * 1024  # JSON text of a schema
    rendered_chars: int = 32 * 1024 * 1024  # output of a chat template
    request_id_chars: int = 128  # X-Request-Id


LIMITS = Limits()


def add_option_arguments(parser: argparse.ArgumentParser) -> None:
    """Let `parser` take the sizes of `EngineOptions`."""
    default = EngineOptions()
    parser.add_argument("--threads", type=_bounded(0, 1024), default=default.threads)
    parser.add_argument("--sequences", type=_bounded(1, 64), default=default.sequences)
    parser.add_argument("--context", type=_bounded(0, 1 << 24), default=default.context)
    parser.add_argument("--queue", type=_bounded(0, 100_000), default=default.queue)
    parser.add_argument("--step-tokens", type=_bounded(16, 65_536), default=default.step_tokens)
    parser.add_argument("--prefixes", type=_bounded(0, 64), default=default.prefixes)
    parser.add_argument("--draft", type=_bounded(0, 64), default=default.draft)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument(
        "--gpu-layers", type=_bounded(ALL_LAYERS, 10_000), default=default.gpu_layers
    )
    parser.add_argument(
        "--flash-attention", choices=FLASH_ATTENTION, default=default.flash_attention
    )
    parser.add_argument("--cache-type-k", choices=CACHE_TYPES, default=default.cache_type_k)
    parser.add_argument("--cache-type-v", choices=CACHE_TYPES, default=default.cache_type_v)


def options_from(arguments: argparse.Namespace) -> EngineOptions:
    """The sizes among parsed command line arguments; raises OptionsError as `EngineOptions`."""
    return EngineOptions(
        threads=arguments.threads,
        sequences=arguments.sequences,
        context=arguments.context,
        queue=arguments.queue,
        step_tokens=arguments.step_tokens,
        prefixes=arguments.prefixes,
        draft=arguments.draft,
        exact=arguments.exact,
        gpu_layers=arguments.gpu_layers,
        flash_attention=arguments.flash_attention,
        cache_type_k=arguments.cache_type_k,
        cache_type_v=arguments.cache_type_v,
    )


def add_residency_arguments(parser: argparse.ArgumentParser) -> None:
    """Let `parser` take what `ResidencyOptions` holds."""
    default = ResidencyOptions()
    parser.add_argument("--memory-mib", type=_bounded(0, 1 << 30), default=default.memory_mib)
    parser.add_argument("--wait-seconds", type=_bounded(0, 3600), default=default.wait_seconds)
    parser.add_argument("--pin", action="append", default=[], help="model or alias to keep loaded")


def residency_from(arguments: argparse.Namespace) -> ResidencyOptions:
    """What `add_residency_arguments` added, among parsed arguments."""
    return ResidencyOptions(
        arguments.memory_mib, arguments.wait_seconds, tuple(dict.fromkeys(arguments.pin))
    )


def _bounded(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be between {low} and {high}")
        return value

    return number
