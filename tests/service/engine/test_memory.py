"""The memory plan is what a load then takes, and what does not fit is not loaded."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.catalogue.digest import file_digest
from appliance.catalogue.inspection import inspect
from appliance.catalogue.manifest import read_manifest
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.budget import MemoryBudget, planned
from appliance.engine.errors import EngineError, ModelFailedError
from appliance.engine.fleet import Fleet
from appliance.engine.flights import Flights
from appliance.engine.keeper import Keeper, State
from appliance.engine.options import EngineOptions
from appliance.engine.residents import Residents
from appliance.engine.signals import Signal
from tests.service.engine.conftest import ENDLESS, Engine, add_model, chat
from tests.support.gguf_bytes import Parts
from tests.support.loop import run_apart
from tests.support.tiny_bert import BertShape, write_tiny_bert
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.tiny_t5 import T5Shape, write_tiny_t5
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[3]
CONTEXT = 2048
SHARED = EngineOptions(threads=1, sequences=8, context=8192, step_tokens=128)
APART = EngineOptions(threads=1, sequences=4, context=8192, step_tokens=32, exact=True)
SMALL = 8_000_000
"""Bytes by which the plan of a small model may differ besides."""
PROGRAM = 34_000_000
"""Bytes of a runner's program and libraries that are resident by the plan, of 83 MB on the disk."""
SHAPES = {
    "demo": None,
    "grouped": Shape(512, 1024, 6, 8, 4096, CONTEXT, quantised=True, kv_heads=2),
    "wide": Shape(1024, 2816, 3, 8, 512, CONTEXT, quantised=True),
    "wordy": Shape(256, 512, 2, 4, 96_000, CONTEXT, quantised=True, kv_heads=1),
    "laid-out-anew": Shape(1024, 2816, 4, 8, 8192, CONTEXT, four_bit=True, kv_heads=4),
    "deep": Shape(256, 640, 24, 4, 1024, CONTEXT, kv_heads=2),
}


def _add(models: Path, name: str, shape: Shape | None) -> None:
    if shape is None:
        shutil.copytree(ROOT / "models/demo", models / "demo")
        shutil.copy(ROOT / "models/demo.toml", models)
    else:
        digest = write_tiny_gguf(models / f"{name}.gguf", shape)
        write_manifest(models, name, digest, context=CONTEXT)


@pytest.fixture(scope="module")
def loaded(make_folder: Callable[[], Path]) -> Iterator[Callable[[EngineOptions, str], Engine]]:
    """An engine that has loaded one model, with the given sizes."""
    engines: list[Engine] = []

    def load(options: EngineOptions, name: str) -> Engine:
        engine = Engine(make_folder(), tuple(options.arguments()))
        engines.append(engine)
        _add(engine.models, name, SHAPES[name])
        engine.start()
        engine.wait_for(name, "ready", 120)
        return engine

    yield load
    for engine in engines:
        engine.stop()


def _plan(engine: Engine, name: str, options: EngineOptions) -> MemoryPlan:
    manifest = read_manifest(engine.models / f"{name}.toml")
    return planned(inspect(manifest, engine.models), manifest.context, options)


def _resident(engine: Engine, name: str) -> int:
    """The model's resident set in bytes, with the program's share as the plan has it.

    How much of the program is resident says nothing of the model: it grows with the folios in
    which the kernel happens to keep a file, largest where the file was written just now.
    """
    (runner,) = engine.runners()
    maps = runner.memory_maps()
    program = sum(
        one.rss for one in maps if one.path.startswith("/") and not one.path.endswith(".gguf")
    )
    return engine.status(name).memory_bytes - program + PROGRAM


@pytest.fixture(autouse=True)
def _no_measured_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner whose coverage is measured takes 15 MB more."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def _fill(engine: Engine, name: str) -> None:
    """One request that takes nearly all of the context, then eight that guess all they can."""

    def ask(token: int, length: int, most: int) -> int:
        answer = engine.client(240).complete(
            {
                "model": name,
                "prompt": [token] * length,
                "max_tokens": most,
                "temperature": 0,
                "logit_bias": {**ENDLESS, str(token): 100.0},
            }
        )
        return int(answer.usage["prompt_tokens"])

    assert ask(300, 1900, 16) == 1900
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda token: ask(token, 40, 860), range(301, 309))) == 320


@pytest.mark.parametrize("name", SHAPES)
def test_the_plan_is_within_a_tenth_of_the_resident_set(
    loaded: Callable[[EngineOptions, str], Engine], name: str
) -> None:
    engine = loaded(SHARED, name)
    plan = _plan(engine, name, SHARED)
    _fill(engine, name)
    resident = _resident(engine, name)
    assert resident == pytest.approx(plan.resident, rel=0.1, abs=SMALL), plan
    engine.stop()


def test_the_plan_holds_where_each_sequence_has_its_own_cells(
    loaded: Callable[[EngineOptions, str], Engine],
) -> None:
    engine = loaded(APART, "grouped")
    plan = _plan(engine, "grouped", APART)
    _fill(engine, "grouped")
    resident = _resident(engine, "grouped")
    assert resident == pytest.approx(plan.resident, rel=0.1, abs=SMALL), plan


@pytest.mark.parametrize(
    "changes",
    [{"cache_type_k": "q8_0", "cache_type_v": "q8_0"}, {"flash_attention": "off"}],
    ids=["q8_0", "no-flash"],
)
def test_the_plan_holds_with_a_smaller_cache_and_with_other_attention(
    loaded: Callable[[EngineOptions, str], Engine], changes: dict[str, str]
) -> None:
    options = replace(SHARED, **changes)  # type: ignore[arg-type]
    engine = loaded(options, "grouped")
    plan = _plan(engine, "grouped", options)
    _fill(engine, "grouped")
    resident = _resident(engine, "grouped")
    assert resident == pytest.approx(plan.resident, rel=0.1, abs=SMALL), plan
    engine.stop()


@pytest.mark.parametrize(
    "shape",
    [
        BertShape(256, 1024, 4, 4, 30_522, 512),
        BertShape(768, 3072, 2, 12, 8192, 512, distilled=True),
        BertShape(128, 512, 2, 4, 8192, 2048),
    ],
    ids=["wordy", "wide", "long"],
)
def test_the_plan_of_an_encoder_is_within_a_tenth_of_the_resident_set(
    own_engine: Engine, shape: BertShape
) -> None:
    options = EngineOptions(threads=1)
    own_engine.options = tuple(options.arguments())
    digest = write_tiny_bert(own_engine.models / "bert.gguf", shape)
    write_manifest(
        own_engine.models, "bert", digest, context=shape.context, capabilities=("embed",)
    )
    own_engine.start()
    own_engine.wait_for("bert", "ready", 120)
    plan = _plan(own_engine, "bert", options)
    longest = [100] * shape.context
    own_engine.client(240).embed({"model": "bert", "input": [longest, longest, *[[7, 8, 9]] * 300]})
    resident = _resident(own_engine, "bert")
    assert resident == pytest.approx(plan.resident, rel=0.1, abs=SMALL), plan


@pytest.mark.parametrize(
    "shape",
    [T5Shape(512, 2048, 6, 8, 32_128, 512), T5Shape(256, 1024, 4, 4, 4096, 2048, gated=True)],
    ids=["small", "long"],
)
def test_the_plan_of_an_encoder_decoder_is_within_a_tenth_of_the_resident_set(
    own_engine: Engine, shape: T5Shape
) -> None:
    options = EngineOptions(threads=1)
    own_engine.options = tuple(options.arguments())
    digest = write_tiny_t5(own_engine.models / "t5.gguf", shape)
    write_manifest(
        own_engine.models, "t5", digest, context=shape.context, capabilities=("complete",)
    )
    own_engine.start()
    own_engine.wait_for("t5", "ready", 120)
    plan = _plan(own_engine, "t5", options)
    body = {"model": "t5", "prompt": [100] * shape.context, "max_tokens": 16, "temperature": 1}
    for _ in range(2):
        own_engine.client(240).complete({**body, "logit_bias": {"1": -100.0}})
    resident = _resident(own_engine, "t5")
    assert resident == pytest.approx(plan.resident, rel=0.1, abs=SMALL), plan


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(own_engine: Engine) -> None:
    """Fifty gigabytes of cache: no process is started for it, and the other model goes on."""
    own_engine.options = ("--threads=1", "--sequences=2")
    for name, context, layers in (("large", 1 << 20, 48), ("small", 256, 1)):
        path = own_engine.models / f"{name}.gguf"
        digest = write_tiny_gguf(path, Shape(layers=layers))
        write_manifest(own_engine.models, name, digest, context=context)
    own_engine.start()
    error = own_engine.wait_for("large", "failed").error or ""
    assert re.search(r"'large' needs 5\d\.\d\d GB of memory \(weights 8 MB, KV cache 5", error)
    assert "are free. Lower engine_context (now automatic) or engine_sequences (now 2)" in error
    own_engine.wait_for("small", "ready", 120)
    assert len(own_engine.runners()) == 1
    with pytest.raises(EngineError, match="'large' needs 5") as caught:
        own_engine.client().complete({"model": "large", "prompt": "the", "max_tokens": 1})
    assert (caught.value.status, caught.value.code) == (503, "model_failed")


def _residents(budget: MemoryBudget) -> tuple[Residents, Flights]:
    signal = Signal()
    flights = Flights(signal)
    return Residents(budget, flights, signal, lambda _name: False), flights


def test_a_refused_model_is_tried_again_when_there_is_memory(
    make_folder: Callable[[], Path],
) -> None:
    folder = make_folder()
    path = write_manifest(
        folder / "models", "tiny", write_tiny_gguf(folder / "models/tiny.gguf", Shape())
    )

    async def look() -> list[State]:
        free = [10**8]
        budget = MemoryBudget(lambda: free[0])
        keeper = Keeper(path, read_manifest(path), folder, APART, _residents(budget)[0])
        keeper.start()
        states = [await _settled(keeper)]
        keeper.look_again()
        states.append(await _settled(keeper))
        free[0] = 10**9
        keeper.look_again()
        states.append(await _settled(keeper))
        assert budget.free() < 10**9
        await keeper.stop()
        assert budget.free() == 10**9
        return states

    assert run_apart(look()) == [State.FAILED, State.FAILED, State.READY]


def test_while_one_takes_over_both_count_and_what_does_not_fit_leaves_the_old_one(
    make_folder: Callable[[], Path],
) -> None:
    folder = make_folder()
    models = folder / "models"
    digest = write_tiny_gguf(models / "tiny.gguf", Shape())
    write_manifest(models, "tiny", digest)
    plenty, scarce = 10**9, 10**8

    async def run() -> None:
        left = [plenty]
        budget = MemoryBudget(lambda: left[0])
        residents, flights = _residents(budget)
        fleet = Fleet(
            models,
            folder,
            APART,
            residents,
            flights,
            is_alias=lambda _name: False,
            is_held_back=lambda _manifest: False,
            rank=lambda _name: 0,
        )
        try:
            await take_over(fleet, budget, left)
        finally:
            await fleet.stop()
        assert budget.free() == plenty

    async def take_over(fleet: Fleet, budget: MemoryBudget, left: list[int]) -> None:
        first = (await fleet.current("tiny")).keeper
        one = plenty - budget.free()
        write_manifest(models, "tiny", digest, title="Second")
        fleet.look()
        taken = []
        while fleet.find("tiny").keeper is first:
            taken.append(plenty - budget.free())
            await asyncio.sleep(0.02)  # a poll; the whole run is bounded
        assert max(taken) > 2 * one > 0  # one that loads holds more than one that is loaded
        second = (await fleet.current("tiny")).keeper
        while plenty - budget.free() != one:
            await asyncio.sleep(0.02)
        left[0] = scarce
        write_manifest(models, "tiny", digest, title="Third, of two")
        with pytest.raises(ModelFailedError, match=r"not in effect: 'tiny' needs .* are free"):
            await fleet.current("tiny")
        assert fleet.find("tiny").keeper is second
        assert second.ready() is second.runner
        assert scarce - budget.free() == one
        left[0] = plenty
        third = (await fleet.current("tiny")).keeper
        assert (third is second, third.error) == (False, None)

    run_apart(asyncio.wait_for(run(), 120))


def test_a_changed_manifest_that_does_not_fit_leaves_the_model_answering(
    own_engine: Engine,
) -> None:
    own_engine.options = ("--threads=1", "--sequences=2")
    add_model(own_engine, "tiny")
    own_engine.start()
    digest = own_engine.wait_for("tiny", "ready", 120).sha256
    large = write_tiny_gguf(own_engine.models / "large.gguf", Shape(layers=48))
    write_manifest(own_engine.models, "tiny", large, file="large.gguf", context=1 << 20)
    status = wait_until(
        lambda: found if (found := own_engine.status("tiny")).error else None, 60, "complaint"
    )
    assert status is not None
    assert "its changed manifest is not in effect: 'tiny' needs 5" in (status.error or "")
    assert (status.state, status.sha256) == ("ready", digest)
    assert own_engine.client().chat(chat()).identity.model_digest == digest
    assert len(own_engine.runners()) == 1


async def _settled(keeper: Keeper) -> State:
    """The state that a keeper comes to rest in."""
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0.2)  # a poll, bounded; also lets the keeper begin
            if keeper.state in {State.FAILED, State.READY}:
                return keeper.state


def test_a_file_with_a_broken_header_is_refused_before_a_process_loads_it(
    own_engine: Engine,
) -> None:
    path = own_engine.models / "broken.gguf"
    path.write_bytes(Parts(data_bytes=1471).raw())
    write_manifest(own_engine.models, "broken", file_digest(path))
    own_engine.start()
    error = own_engine.wait_for("broken", "failed").error or ""
    assert "broken.gguf: is cut off: it has" in error
    assert own_engine.runners() == []
