"""The memory plan is what a load then takes, and what does not fit is not loaded."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.catalogue.digest import file_digest
from appliance.catalogue.inspection import inspect
from appliance.catalogue.manifest import read_manifest
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.budget import MemoryBudget, planned
from appliance.engine.errors import EngineError
from appliance.engine.keeper import Keeper, State
from appliance.engine.options import EngineOptions
from tests.service.engine.conftest import ENDLESS, Engine
from tests.support.gguf_bytes import Parts
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf

ROOT = Path(__file__).parents[3]
CONTEXT = 2048
SHARED = EngineOptions(threads=1, sequences=8, context=8192, step_tokens=128)
APART = EngineOptions(threads=1, sequences=4, context=8192, step_tokens=32)
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


def _fill(engine: Engine, name: str) -> None:
    """One request that takes nearly all of the context."""
    answer = engine.client(240).complete(
        {
            "model": name,
            "prompt": [300] * 1900,
            "max_tokens": 16,
            "seed": 1,
            "logit_bias": ENDLESS,
        }
    )
    assert answer.usage["prompt_tokens"] == 1900


@pytest.mark.parametrize("name", SHAPES)
def test_the_plan_is_within_a_tenth_of_the_resident_set(
    loaded: Callable[[EngineOptions, str], Engine], name: str
) -> None:
    engine = loaded(SHARED, name)
    plan = _plan(engine, name, SHARED)
    _fill(engine, name)
    resident = engine.status(name).memory_bytes
    assert resident == pytest.approx(plan.resident, rel=0.1), plan
    engine.stop()


def test_the_plan_holds_where_each_sequence_has_its_own_cells(
    loaded: Callable[[EngineOptions, str], Engine],
) -> None:
    engine = loaded(APART, "grouped")
    plan = _plan(engine, "grouped", APART)
    _fill(engine, "grouped")
    assert engine.status("grouped").memory_bytes == pytest.approx(plan.resident, rel=0.1), plan


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
        keeper = Keeper(path, read_manifest(path), folder, APART, budget)
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

    assert asyncio.run(look()) == [State.FAILED, State.FAILED, State.READY]


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
