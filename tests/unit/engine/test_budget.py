"""Memory is given to one model at a time, and not twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.catalogue.errors import ModelMemoryError
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.budget import MemoryBudget, fits
from appliance.engine.options import EngineOptions
from tests.support.loop import run_apart

MB = 10**6
PLAN = MemoryPlan(
    weights=400 * MB, repacked=100 * MB, cache=300 * MB, compute=50 * MB, runner=50 * MB
)
A, B, C = (Path(f"runner-{number}.sock") for number in range(3))
LARGE = replace(PLAN, cache=900 * MB)
OPTIONS = EngineOptions(context=8192, sequences=16)


def test_a_plan_fits_with_a_twentieth_and_a_little_to_spare() -> None:
    assert (PLAN.resident, PLAN.needed, PLAN.mapped) == (900 * MB, 800 * MB, 300 * MB)
    enough = 840 * MB + 64 * 2**20
    assert fits(PLAN, enough)
    assert not fits(PLAN, enough - 1)


def test_what_does_not_fit_is_refused_with_the_numbers_and_the_remedy() -> None:
    budget = MemoryBudget(lambda: 850 * MB)
    with pytest.raises(ModelMemoryError) as caught:
        run_apart(budget.reserve(A, "a", PLAN, OPTIONS))
    assert str(caught.value) == (
        "'a' needs 800 MB of memory (weights 400 MB, KV cache 300 MB, compute 50 MB, runner 50 MB),"
        " and 850 MB are free. Lower engine_context (now 8192) or engine_sequences (now 16), stop"
        " another model, or take a smaller one."
    )
    assert budget.free() == 850 * MB


def test_a_loading_model_holds_all_that_it_needs_a_loaded_one_what_the_kernel_does_not_count() -> (
    None
):
    budget = MemoryBudget(lambda: 2000 * MB)
    run_apart(budget.reserve(A, "a", PLAN, OPTIONS))
    assert budget.free() == 1200 * MB
    budget.loaded(A)
    assert budget.free() == 1650 * MB
    budget.release(A)
    budget.release(A)
    assert budget.free() == 2000 * MB


def test_a_second_model_waits_for_the_first_ones_load_and_then_fits() -> None:
    left = [1500 * MB]

    async def both() -> None:
        budget = MemoryBudget(lambda: left[0])
        await budget.reserve(A, "a", PLAN, OPTIONS)
        second = asyncio.create_task(budget.reserve(B, "b", PLAN, OPTIONS))
        await asyncio.sleep(0)
        assert not second.done()
        left[0] = 1300 * MB
        budget.loaded(A)
        await asyncio.wait_for(second, 5)

    run_apart(both())


def test_a_second_model_that_waited_in_vain_is_refused() -> None:
    async def both() -> None:
        budget = MemoryBudget(lambda: 1000 * MB)
        await budget.reserve(A, "a", PLAN, OPTIONS)
        second = asyncio.create_task(budget.reserve(B, "b", PLAN, OPTIONS))
        await asyncio.sleep(0)
        budget.loaded(A)
        with pytest.raises(ModelMemoryError, match="and 650 MB are free"):
            await asyncio.wait_for(second, 5)

    run_apart(both())


def test_two_models_never_get_the_same_memory() -> None:
    async def many() -> int:
        budget = MemoryBudget(lambda: 2000 * MB)
        loads = [
            asyncio.create_task(budget.reserve(Path(name), name, PLAN, OPTIONS)) for name in "abcd"
        ]
        await asyncio.sleep(0)
        done = sum(load.done() for load in loads)
        for load in loads:
            load.cancel()
        await asyncio.wait(loads)
        return done

    assert run_apart(many()) == 2


def test_two_runners_of_one_model_each_hold_their_own() -> None:
    budget = MemoryBudget(lambda: 2000 * MB)
    run_apart(budget.reserve(A, "a", PLAN, OPTIONS))
    budget.loaded(A)
    run_apart(budget.reserve(B, "a", PLAN, OPTIONS))
    budget.loaded(B)
    assert budget.free() == 1300 * MB
    with pytest.raises(ModelMemoryError, match=r"and 1\.30 GB are free"):
        run_apart(budget.reserve(C, "a", LARGE, OPTIONS))
    budget.release(A)
    assert budget.free() == 1650 * MB
