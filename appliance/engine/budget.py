"""Lets a model be loaded only where its memory is there, so that the kernel need not kill any."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.catalogue.architectures import Nature, nature_of
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.memory import LoadSizes, MemoryPlan, plan_memory, plan_reading
from appliance.catalogue.room import available_memory
from appliance.engine.options import EngineOptions

_SPARE = 64 * 1024 * 1024  # bytes that stay free for everybody else
_DOUBT = 20  # one part in so many, on top of the plan


def planned(
    facts: ModelFacts, request_context: int, options: EngineOptions, adapters: int = 0
) -> MemoryPlan:
    """The memory that a runner with these options takes.

    Args:
        facts: of the model's file.
        request_context: tokens of one request at most, as in the manifest.
        options: sizes of the runner.
        adapters: bytes of those that it may attach.
    """
    plan = _planned_alone(facts, request_context, options)
    return replace(plan, runner=plan.runner + adapters)


def _planned_alone(facts: ModelFacts, request_context: int, options: EngineOptions) -> MemoryPlan:
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
    return plan.needed + _to_spare(plan) <= free


def _to_spare(plan: MemoryPlan) -> int:
    return plan.needed // _DOUBT + _SPARE


@dataclass(frozen=True)
class _Held:
    plan: MemoryPlan
    loading: bool

    @property
    def uncounted(self) -> int:
        """Bytes that are spoken for, although the kernel still counts them as free."""
        return self.plan.needed if self.loading else self.plan.mapped + self.plan.compute

    @property
    def returned(self) -> int:
        """Bytes that the kernel counts as free once the process has ended."""
        return self.plan.needed - self.uncounted


class MemoryBudget:
    """What the runners of one supervisor hold. Belongs to its event loop.

    Args:
        available: says how many bytes the machine has left.
        limit: bytes that all runners may hold together; 0 sets none but the machine's.
    """

    def __init__(self, available: Callable[[], int] = available_memory, limit: int = 0) -> None:
        """Nothing is held."""
        self._available = available
        self._limit = limit
        self._held: dict[Path, _Held] = {}

    @property
    def held(self) -> int:
        """Bytes that the runners hold, by their plans."""
        return sum(each.plan.needed for each in self._held.values())

    @property
    def limit(self) -> int:
        """Bytes that the runners may hold together: as set, or what the machine would give."""
        return self._limit or self.held + self.free()

    @property
    def is_limited(self) -> bool:
        """Whether an operator set the limit, not the machine."""
        return self._limit > 0

    def held_by(self, socket: Path) -> int:
        """Bytes that one runner holds, by its plan."""
        held = self._held.get(socket)
        return 0 if held is None else held.plan.needed

    def is_loading(self) -> bool:
        """Whether a runner is being loaded.

        Nobody knows how much such a one has taken already; where it is tight, wait for it.
        """
        return any(each.loading for each in self._held.values())

    def hold(self, socket: Path, plan: MemoryPlan) -> None:
        """Hold memory for a runner that is about to load its model.

        Args:
            socket: of the runner; one model may have two while one takes over from the other.
            plan: what it takes.
        """
        self._held[socket] = _Held(plan, loading=True)

    def loaded(self, socket: Path) -> None:
        """The runner's memory is taken now, so that the kernel counts it."""
        held = self._held.get(socket)
        if held is not None:
            self._held[socket] = _Held(held.plan, loading=False)

    def release(self, socket: Path) -> None:
        """The runner has ended, or was never started."""
        self._held.pop(socket, None)

    def free(self, without: Collection[Path] = ()) -> int:
        """Bytes for one more model.

        The pages of a mapped file are free memory to the kernel, but a model that has to read
        them again for every token stands still: those of loaded models are not given away. Nor
        are their compute buffers, which are touched by the first requests only.

        Args:
            without: runners to look past, as if they had been stopped.
        """
        kept = [each for socket, each in self._held.items() if socket not in without]
        gone = [each for socket, each in self._held.items() if socket in without]
        free = self._available() + sum(each.returned for each in gone)
        free -= sum(each.uncounted for each in kept)
        if self._limit:
            free = min(free, self._limit - sum(each.plan.needed for each in kept))
        return max(0, free)

    def has_room(self, plan: MemoryPlan, without: Collection[Path] = ()) -> bool:
        """Whether one more model of this plan fits; `without` as in `free`."""
        return fits(plan, self.free(without))

    def refusal(self, name: str, plan: MemoryPlan, options: EngineOptions) -> str:
        """Why a model does not fit, with the numbers and the remedy."""
        limit = f" of the {_size(self._limit)} that engine_memory_mib allows" if self._limit else ""
        return (
            f"{_shortage(name, plan, self.free(), limit)} Lower engine_context (now"
            f" {options.context or 'automatic'}) or engine_sequences (now {options.sequences}),"
            " stop another model, or take a smaller one."
        )

    def crowd(self, name: str, plan: MemoryPlan, beside: Collection[str]) -> str:
        """Why a model does not fit beside others that are not stopped for it."""
        others = " and ".join(repr(each) for each in sorted(beside)) or "the others"
        where = f" beside {others}, {_size(_to_spare(plan))} of which have to stay free"
        return _shortage(name, plan, self.free(), where)


def _shortage(name: str, plan: MemoryPlan, free: int, where: str = "") -> str:
    """What a model needs, by part, and what there is."""
    parts = (
        f"weights {_size(plan.mapped + plan.repacked)}, KV cache {_size(plan.cache)},"
        f" compute {_size(plan.compute)}, runner {_size(plan.runner)}"
    )
    return (
        f"{name!r} needs {_size(plan.needed)} of memory ({parts}), and {_size(free)} are"
        f" free{where}."
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
