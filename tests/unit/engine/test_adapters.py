"""Adapters share the scheduler with their base, and nobody's answer changes by that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.errors import ModelLoadError
from appliance.engine.llama import Adapter, Loaded, LogTail, load, load_adapter
from appliance.engine.options import EngineOptions
from appliance.engine.prefixes import Prefixes
from appliance.engine.sampling import Sampling
from appliance.engine.sequence import Finish
from appliance.engine.vocab import Vocabulary
from tests.support.tiny_gguf import Shape, write_tiny_gguf
from tests.support.tiny_lora import lora_pairs, write_lora
from tests.unit.engine.conftest import OPTIONS, REQUEST_CONTEXT
from tests.unit.engine.runs import Bench, Heard

EXACT = replace(OPTIONS, exact=True, sequences=8, context=2048)
LOGGED = Sampling(temperature=0.0, top_logprobs=3)
LONG = "the user that was with the system " * 20

Make = Callable[..., Adapter]


# Without flash attention what lies in others' cells is multiplied by zero, not skipped.
SCORED = replace(OPTIONS, flash_attention="off")


@pytest.fixture(params=[OPTIONS, EXACT, SCORED], ids=["shared", "exact", "scored"])
def options(request: pytest.FixtureRequest) -> EngineOptions:
    given: EngineOptions = request.param
    return given


@pytest.fixture
def loaded(options: EngineOptions, tmp_path: Path, log_tail: LogTail) -> Iterator[Loaded]:
    write_tiny_gguf(tmp_path / "base.gguf")
    loaded = load(tmp_path / "base.gguf", REQUEST_CONTEXT, options, log_tail)
    yield loaded
    loaded.free()


@pytest.fixture
def bench(loaded: Loaded, options: EngineOptions) -> Bench:
    return Bench(loaded, Vocabulary(loaded), options)


@pytest.fixture
def make(loaded: Loaded, tmp_path: Path) -> Make:
    def made(name: str, seed: int, factor: float = 1.0) -> Adapter:
        pairs = {
            key: (first, second * np.float32(factor))
            for key, (first, second) in lora_pairs(Shape(), seed).items()
        }
        digest = write_lora(tmp_path / f"{name}.gguf", pairs)
        return Adapter(name, digest, load_adapter(loaded.model, tmp_path / f"{name}.gguf"))

    return made


def said(heard: Heard) -> tuple[list[int], list[object]]:
    return heard.tokens, list(heard.logprobs)


def test_an_adapter_changes_the_answer_and_its_absence_restores_it_to_the_last_bit(
    bench: Bench, make: Make
) -> None:
    adapter = make("a", 1)
    with bench:
        before = said(bench.say("the user", 20, LOGGED))
        changed = said(bench.say("the user", 20, LOGGED, adapter=adapter))
        after = said(bench.say("the user", 20, LOGGED))
        again = said(bench.say("the user", 20, LOGGED, adapter=adapter))
    assert before == after
    assert changed == again
    assert changed[0] != before[0]


def test_two_adapters_and_their_base_at_once_each_give_what_they_give_alone(
    bench: Bench, make: Make
) -> None:
    chosen = [None, make("a", 1), make("b", 2), None]
    prompts = [f"{LONG} user {number}" for number in range(8)]
    with bench:
        alone = [
            bench.say(prompt, 24, adapter=chosen[number % 4]).tokens
            for number, prompt in enumerate(prompts)
        ]
        started = [
            bench.start(prompt, 24, adapter=chosen[number % 4])[0][0]
            for number, prompt in enumerate(prompts)
        ]
        among = [heard.wait() for heard in started]
    assert among == alone
    assert len({tuple(answer) for answer in alone}) > 3


def test_one_prompt_asked_of_all_shares_no_cells_between_them(bench: Bench, make: Make) -> None:
    chosen = [None, make("a", 1), make("b", 2)]
    with bench:
        first = [bench.say(LONG, 12, adapter=each).tokens for each in chosen]
        second = [bench.say(LONG, 12, adapter=each).tokens for each in reversed(chosen)]
        started = [bench.start(LONG, 12, adapter=each)[0][0] for each in chosen]
        together = [heard.wait() for heard in started]
    assert first == second[::-1] == together
    assert len({tuple(answer) for answer in first}) == 3


def test_a_beginning_serves_only_the_adapter_that_it_was_computed_with() -> None:
    prefixes, tokens = Prefixes(range(4), 1000), list(range(40))
    one, other = object(), object()
    slot, _ = prefixes.keep(tokens, one)
    assert prefixes.match(tokens, one) == (slot, 40)
    assert prefixes.match(tokens, other) is None
    assert prefixes.match(tokens) is None
    assert prefixes.keep(tokens)[0] not in {None, slot}


def test_an_adapter_that_overflows_ends_its_own_answers_only(bench: Bench, make: Make) -> None:
    wild, tame = make("wild", 3, 1e30), make("tame", 1)
    with bench:
        alone = [bench.say(LONG, 30, adapter=each).tokens for each in (None, tame)]
        # One that runs while the cells are spoilt, and the same again from what they leave behind.
        running = [bench.start(LONG, 30, adapter=each)[0][0] for each in (None, tame)]
        assert all(heard.some.wait(10) for heard in running)
        hostile = bench.start(LONG, 30, adapter=wild)[0][0]
        hostile.ended.wait(30)
        among = [heard.wait() for heard in running]
        after = [bench.say(LONG, 30, adapter=each).tokens for each in (None, tame)]
    assert hostile.finish is Finish.FAILED
    assert wild.is_spoilt
    assert not tame.is_spoilt
    assert alone == among == after


def test_an_adapter_for_another_model_is_refused_by_llama_cpp_too(
    loaded: Loaded, tmp_path: Path
) -> None:
    write_lora(tmp_path / "wide.gguf", lora_pairs(Shape(width=128), 1))
    with pytest.raises(ModelLoadError, match=r"'wide\.gguf'"):
        load_adapter(loaded.model, tmp_path / "wide.gguf")
