"""Lets a model be loaded only where its memory is there, so that the kernel need not kill any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.catalogue.architectures import Nature, nature_of
from appliance.catalogue.errors import ModelMemoryError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.memory import LoadSizes, MemoryPlan, plan_memory, plan_reading
from appliance.catalogue.room import available_memory
from appliance.engine.options import EngineOptions

_SPARE = 64 * 1024 * 1024  # bytes that stay free for everybody else
_DOUBT = 20  # one part in so many, on top of the plan


def planned(facts: ModelFacts, request_context: int, options: EngineOptions) -> MemoryPlan:
    """The memory that a runner with these options takes.

    Args:
        facts: of the model's file.
        request_context: tokens of one request at most, as in the manifest.
        options: sizes of the runner.
    """
    nature, flash = nature_of(facts.architecture), options.flash_attention != "off"
    if nature is Nature.ENCODER:
        tokens = options.reading_tokens(request_context)
        return plan_reading(facts, tokens, options.thread_count, flash)
    options = options.fitting(nature, request_context)
    translates = nature is Nature.ENCODER_DECODER
    sizes = LoadSizes(
        cells=options.kv_tokens(request_context),
        unified=not options.exact,
        sequences=options.sequences,
        # llama.cpp sets logits aside for each token that such a model reads.
        outputs=options.step_capacity if translates else options.outputs,
        step_tokens=options.step_capacity,
        threads=options.thread_count,
        key_type=options.cache_type_k,
        value_type=options.cache_type_v,
        flash=flash,
        biased=translates,
    )
    return plan_memory(facts, sizes)


def fits(plan: MemoryPlan, free: int) -> bool:
    """Whether a plan, with some doubt about it, leaves a little of `free` bytes."""
    return plan.needed + plan.needed // _DOUBT + _SPARE <= free


@dataclass(frozen=True)
class _Held:
    plan: MemoryPlan
    loading: bool


class MemoryBudget:
    """What the runners of one supervisor hold. Belongs to its event loop.

    Args:
        available: says how many bytes the machine has left.
    """

    def __init__(self, available: Callable[[], int] = available_memory) -> None:
        """Nothing is held."""
        self._available = available
        self._held: dict[Path, _Held] = {}
        self._changed = asyncio.Event()

    async def reserve(
        self, socket: Path, name: str, plan: MemoryPlan, options: EngineOptions
    ) -> None:
        """Hold memory for a runner that is about to load its model.

        While others are being loaded nobody knows how much they have taken already: where it
        is tight, wait for them.

        Args:
            socket: of the runner; one model may have two while one takes over from the other.
            name: of the model, for the message.
            plan: what it takes.
            options: the sizes that it was planned with, for the message.

        Raises:
            ModelMemoryError: it does not fit; names the numbers and the remedy.
        """
        while not fits(plan, free := self.free()):
            if not any(each.loading for each in self._held.values()):
                raise ModelMemoryError(_refusal(name, plan, free, options))
            self._changed.clear()
            await self._changed.wait()
        self._held[socket] = _Held(plan, loading=True)

    def loaded(self, socket: Path) -> None:
        """The runner's memory is taken now, so that the kernel counts it."""
        held = self._held.get(socket)
        if held is not None:
            self._held[socket] = _Held(held.plan, loading=False)
        self._changed.set()

    def release(self, socket: Path) -> None:
        """The runner has ended, or was never started."""
        self._held.pop(socket, None)
        self._changed.set()

    def free(self) -> int:
        """Bytes for one more model.

        The pages of a mapped file are free memory to the kernel, but a model that has to read
        them again for every token stands still: those of loaded models are not given away. Nor
        are their compute buffers, which are touched by the first requests only.
        """
        taken = sum(
            each.plan.needed if each.loading else each.plan.mapped + each.plan.compute
            for each in self._held.values()
        )
        return max(0, self._available() - taken)


def _refusal(name: str, plan: MemoryPlan, free: int, options: EngineOptions) -> str:
    parts = (
        f"weights {_size(plan.mapped + plan.repacked)}, KV cache {_size(plan.cache)},"
        f" compute {_size(plan.compute)}, runner {_size(plan.runner)}"
    )
    return (
        f"{name!r} needs {_size(plan.needed)} of memory ({parts}), and {_size(free)} are free."
        f" Lower engine_context (now {options.context or 'automatic'}) or engine_sequences (now"
        f" {options.sequences}), stop another model, or take a smaller one."
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
