"""Sizes that an operator sets, and limits that nobody may pass."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass

_DRAFTING = 4  # sequences whose longest drafts fit into one step


@dataclass(frozen=True)
class EngineOptions:
    """What one runner may use. All numbers as in `appliance.settings`."""

    threads: int = 0  # of llama.cpp; 0 means all cores
    sequences: int = 16  # decoded at the same time
    context: int = 0  # tokens of the KV cache shared by all sequences; 0 means 4 requests
    queue: int = 64  # requests that may wait
    step_tokens: int = 256  # prompt tokens that one decode step carries at most
    prefixes: int = 8  # beginnings of ended requests that stay in the KV cache
    draft: int = 15  # tokens of an answer guessed from its own prompt at once

    @property
    def thread_count(self) -> int:
        """Threads to decode with: as set, or all cores that this process may use."""
        return self.threads or len(os.sched_getaffinity(0))

    @property
    def processor(self) -> str:
        """What a runner computes on, for people."""
        return f"CPU, {self.thread_count} thread{'s' * (self.thread_count != 1)}"

    def kv_tokens(self, request_context: int) -> int:
        """Tokens of the KV cache for a model whose requests have `request_context` at most."""
        return self.context or 4 * request_context

    def is_shared(self, request_context: int) -> bool:
        """Whether all sequences share one KV cache.

        With room for everybody's longest request each has cells of its own instead, nothing is
        shared or guessed, and an answer does not depend on its neighbours (docs/engine.md).
        """
        return self.kv_tokens(request_context) < self.sequences * request_context

    @property
    def drafts(self) -> int:
        """Guessed tokens that one decode step carries at most."""
        return _DRAFTING * self.draft

    @property
    def step_capacity(self) -> int:
        """Tokens that one decode step carries at most, of all kinds."""
        return self.step_tokens + self.sequences + self.drafts

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


def options_from(arguments: argparse.Namespace) -> EngineOptions:
    """The sizes among parsed command line arguments."""
    return EngineOptions(
        threads=arguments.threads,
        sequences=arguments.sequences,
        context=arguments.context,
        queue=arguments.queue,
        step_tokens=arguments.step_tokens,
        prefixes=arguments.prefixes,
        draft=arguments.draft,
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
