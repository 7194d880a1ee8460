"""Memory is given to one model at a time, and not twice."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from appliance.catalogue.errors import ModelMemoryError
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.budget import MemoryBudget, fits
from appliance.engine.flights import Flights
from appliance.engine.options import EngineOptions
from appliance.engine.residents import CrowdedError, Residents
from appliance.engine.signals import Signal
from tests.support.loop import run_apart

MB = 10**6
PLAN = MemoryPlan(
    weights=400 * MB, repacked=100 * MB, cache=300 * MB, compute=50 * MB, runner=50 * MB
)
LARGE = replace(PLAN, cache=900 * MB)
OPTIONS = EngineOptions(context=8192, sequences=16)


def test_a_plan_fits_with_a_twentieth_and_a_little_to_spare() -> None:
    assert (PLAN.resident, PLAN.needed, PLAN.mapped) == (900 * MB, 800 * MB, 300 * MB)
    enough = 840 * MB + 64 * 2**20
    assert fits(PLAN, enough)
    assert not fits(PLAN, enough - 1)


_numbers = itertools.count()


@dataclass(eq=False)
class Model:
    """A model without a process."""

    name: str
    room: Room
    is_wanted: bool = False
    is_held: bool = False
    is_ready: bool = False
    closed: bool = False
    loaded_at: float = 0.0
    load_seconds: float = 0.0
    socket: Path = field(default_factory=lambda: Path(f"runner-{next(_numbers)}.sock"))

    async def park(self) -> None:
        self.is_ready = False
        self.room.residents.left(self)

    async def load(self, plan: MemoryPlan = PLAN) -> None:
        await self.room.residents.admit(self, plan, OPTIONS)

    def loaded(self) -> None:
        self.is_ready = True
        self.room.residents.loaded(self)


class Room:
    """A budget, and who lives in it."""

    def __init__(self, free: int, limit: int = 0, pinned: str = "") -> None:
        self.left = free
        self.budget = MemoryBudget(lambda: self.left, limit)
        self.signal = Signal()
        self.flights = Flights(self.signal)
        self.residents = Residents(
            self.budget, self.flights, self.signal, lambda name: name == pinned
        )

    async def resident(self, name: str, **changes: bool) -> Model:
        """A model that is loaded."""
        model = Model(name, self, **changes)
        await model.load()
        model.loaded()
        return model


def test_what_does_not_fit_is_refused_with_the_numbers_and_the_remedy() -> None:
    room = Room(850 * MB)
    with pytest.raises(ModelMemoryError) as caught:
        run_apart(Model("a", room).load())
    assert str(caught.value) == (
        "'a' needs 800 MB of memory (weights 400 MB, KV cache 300 MB, compute 50 MB, runner 50 MB),"
        " and 850 MB are free. Lower engine_context (now 8192) or engine_sequences (now 16), stop"
        " another model, or take a smaller one."
    )
    assert room.budget.free() == 850 * MB


def test_a_limit_of_the_operator_holds_where_the_machine_has_more() -> None:
    room = Room(9000 * MB, limit=1800 * MB)

    async def run() -> None:
        await room.resident("a")
        assert (room.budget.held, room.budget.limit) == (800 * MB, 1800 * MB)
        assert room.budget.free() == 1000 * MB
        with pytest.raises(
            ModelMemoryError, match=r"1\.00 GB are free of the 1\.80 GB that engine_"
        ):
            await Model("b", room, is_wanted=True).load(replace(PLAN, cache=1200 * MB))
        await Model("b", room).load()

    run_apart(run())


def test_a_loading_model_holds_all_that_it_needs_a_loaded_one_what_the_kernel_does_not_count() -> (
    None
):
    room = Room(2000 * MB)
    model = Model("a", room)
    run_apart(model.load())
    assert room.budget.free() == 1200 * MB
    model.loaded()
    assert room.budget.free() == 1650 * MB
    assert room.budget.free(without=[model.socket]) == 2450 * MB
    for _ in range(2):
        room.residents.left(model)
        assert room.budget.free() == 2000 * MB


def test_a_second_model_waits_for_the_first_ones_load_and_then_fits() -> None:
    async def both() -> None:
        room = Room(1500 * MB)
        first = Model("a", room)
        await first.load()
        second = asyncio.create_task(Model("b", room).load())
        await asyncio.sleep(0)
        assert not second.done()
        room.left = 1300 * MB
        first.loaded()
        await asyncio.wait_for(second, 5)

    run_apart(both())


def test_a_second_model_that_nobody_asked_for_rests_where_it_waited_in_vain() -> None:
    async def both() -> None:
        room = Room(1000 * MB)
        first = Model("a", room)
        await first.load()
        second = asyncio.create_task(Model("b", room).load())
        await asyncio.sleep(0)
        first.loaded()
        with pytest.raises(CrowdedError, match="and 650 MB are free beside the others"):
            await asyncio.wait_for(second, 5)
        assert first.is_ready

    run_apart(both())


def test_two_models_never_get_the_same_memory() -> None:
    async def many() -> int:
        room = Room(2000 * MB)
        loads = [asyncio.create_task(Model(name, room).load()) for name in "abcd"]
        await asyncio.sleep(0.05)
        done = sum(load.done() for load in loads)
        for load in loads:
            load.cancel()
        await asyncio.wait(loads)
        return done

    assert run_apart(many()) == 2


def test_two_runners_of_one_model_each_hold_their_own() -> None:
    async def run() -> None:
        room = Room(2000 * MB)
        first = await room.resident("a")
        await room.resident("a")
        assert room.budget.free() == 1300 * MB
        with pytest.raises(CrowdedError, match=r"and 1\.30 GB are free"):
            await Model("a", room).load(LARGE)
        room.residents.left(first)
        assert room.budget.free() == 1650 * MB

    run_apart(run())


def test_a_wanted_model_takes_the_room_of_the_idle_one_used_longest_ago() -> None:
    async def run() -> None:
        room = Room(1800 * MB, limit=1800 * MB)
        first, second = await room.resident("a"), await room.resident("b")
        with room.flights.flight("request", first.socket):
            pass
        await Model("c", room, is_wanted=True).load()
        assert (first.is_ready, second.is_ready) == (True, False)

    run_apart(run())


def test_none_is_stopped_that_answers_or_owes_an_answer_or_where_that_would_not_do() -> None:
    async def run() -> None:
        room = Room(1800 * MB, limit=1800 * MB)
        idle, owing = await room.resident("a"), await room.resident("b", is_wanted=True)
        # LARGE needs both to go, so the idle one stays for as long as the other does.
        waiting = asyncio.create_task(Model("c", room, is_wanted=True).load(LARGE))
        await asyncio.sleep(0.05)
        assert (idle.is_ready, owing.is_ready, waiting.done()) == (True, True, False)
        with room.flights.flight("request", owing.socket):
            owing.is_wanted = False
            room.signal.tell()
            await asyncio.sleep(0.05)
            assert owing.is_ready
        await asyncio.wait_for(waiting, 5)
        assert (idle.is_ready, owing.is_ready) == (False, False)

    run_apart(run())


def test_who_is_wanted_no_longer_stops_waiting_and_lets_the_next_one_in() -> None:
    async def run() -> None:
        room = Room(1000 * MB, limit=1000 * MB)
        busy = await room.resident("a")
        with room.flights.flight("request", busy.socket):
            first, second = (Model(name, room, is_wanted=True) for name in "bc")
            loads = [asyncio.create_task(each.load()) for each in (first, second)]
            await asyncio.sleep(0.05)
            first.is_wanted = False
            room.signal.tell()
            with pytest.raises(CrowdedError):
                await asyncio.wait_for(loads[0], 5)
        await asyncio.wait_for(loads[1], 5)
        assert not busy.is_ready

    run_apart(run())


def test_a_pinned_model_stays_and_so_does_one_that_is_switched_beside_another() -> None:
    async def run() -> None:
        room = Room(1000 * MB, limit=1000 * MB, pinned="a")
        pinned = await room.resident("a")
        with pytest.raises(CrowdedError, match="beside 'a'"):
            await Model("b", room, is_wanted=True).load()
        room = Room(1000 * MB, limit=1000 * MB)
        held = await room.resident("a", is_held=True)
        with pytest.raises(CrowdedError, match="beside 'a'"):
            await Model("b", room, is_wanted=True, is_held=True).load()
        assert pinned.is_ready
        assert held.is_ready

    run_apart(run())


def test_those_that_start_together_get_their_room_in_their_order() -> None:
    async def run() -> list[str]:
        room = Room(1000 * MB, limit=1000 * MB)
        models = [Model(name, room) for name in "abc"]
        for model in models:
            room.residents.expect(model)
        loads = [asyncio.create_task(model.load()) for model in reversed(models)]
        await asyncio.sleep(0.05)
        done = [each.name for each in models if room.residents.planned(each)]
        for load in loads:
            load.cancel()
        await asyncio.wait(loads)
        return done

    assert run_apart(run()) == ["a"]
