"""Sequences join and leave at every step, and none of them disturbs another."""

from __future__ import annotations

import json
import math
import threading
import time

import pytest

from appliance.engine.errors import QueueFullError
from appliance.engine.grammar import Grammars
from appliance.engine.llama import Loaded, LogTail, load
from appliance.engine.options import EngineOptions
from appliance.engine.sampling import Sampling
from appliance.engine.sequence import Finish
from appliance.engine.vocab import Vocabulary
from tests.support.tiny_gguf import DEMO_SIZE, write_tiny_gguf
from tests.support.wait import wait_until
from tests.unit.engine.conftest import OPTIONS, REQUEST_CONTEXT
from tests.unit.engine.runs import GREEDY, Bench

WARM = Sampling(temperature=1.0, top_p=0.95, top_k=50)
LONG = "the user that was with the system " * 50


@pytest.fixture
def bench(tiny: Loaded, vocabulary: Vocabulary) -> Bench:
    return Bench(tiny, vocabulary, OPTIONS)


def test_the_answer_is_as_long_as_it_may_be(bench: Bench) -> None:
    with bench:
        heard = bench.say("the", most=7)
    assert len(heard.tokens) == 7
    assert heard.finish is Finish.LENGTH
    assert heard.has_started


def test_greedy_answers_repeat(bench: Bench) -> None:
    with bench:
        assert bench.say("the user").tokens == bench.say("the user").tokens


def test_a_seed_fixes_the_answer_and_another_seed_changes_it(bench: Bench) -> None:
    with bench:
        first, same, other = (bench.say("the", 30, WARM, seed).tokens for seed in (7, 7, 8))
    assert first == same
    assert first != other


def test_a_long_prompt_in_pieces_gives_the_same_answer_as_in_one(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    answers = []
    for step_tokens in (16, 1000):
        options = EngineOptions(threads=1, sequences=8, step_tokens=min(step_tokens, 32))
        with Bench(tiny, vocabulary, options) as bench:
            answers.append(bench.say(LONG, 10).tokens)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("sampling", [GREEDY, WARM])
def test_neighbours_do_not_change_a_q8_0_models_answer(
    tmp_path_factory: pytest.TempPathFactory, log_tail: LogTail, sampling: Sampling
) -> None:
    path = tmp_path_factory.mktemp("demo-size") / "model.gguf"
    write_tiny_gguf(path, DEMO_SIZE)
    loaded = load(path, REQUEST_CONTEXT, OPTIONS, log_tail)
    vocabulary = Vocabulary(loaded)
    with Bench(loaded, vocabulary, OPTIONS) as bench:
        alone = bench.say("the user", 24, sampling, seed=5).tokens
        crowd = [bench.start(f"a {n}" * n, 60, WARM, seed=n)[0][0] for n in range(1, 6)]
        among = bench.say("the user", 24, sampling, seed=5).tokens
        for heard in crowd:
            heard.wait()
    loaded.free()
    assert alone == among


def test_many_requests_share_steps(bench: Bench) -> None:
    with bench:
        heard = [bench.start(f"user {n}", 20)[0][0] for n in range(8)]
        for each in heard:
            assert len(each.wait()) == 20
    assert bench.scheduler.tally.steps < 8 * 20


def test_a_long_prompt_does_not_stall_the_others(bench: Bench) -> None:
    with bench:
        long = bench.start(LONG, 5)[0][0]
        short = bench.start("the", 5)[0][0]
        short.wait()
        long.wait()
    assert short.ended_at < long.ended_at


def test_choices_share_one_prompt_and_differ(bench: Bench) -> None:
    with bench:
        before = bench.scheduler.tally.steps
        heard, _ = bench.start(LONG, 12, WARM, seed=3, choices=4)
        answers = [each.wait() for each in heard]
        steps = bench.scheduler.tally.steps - before
        alone = bench.say(LONG, 12, WARM, seed=5).tokens
    assert len({tuple(answer) for answer in answers}) > 1
    assert answers[2] == alone
    assert steps < 4 * 12


def test_a_full_queue_refuses_with_a_time_to_try_again(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    options = EngineOptions(threads=1, sequences=1, queue=2, step_tokens=16)
    with Bench(tiny, vocabulary, options) as bench:
        running = bench.start("the", 400)[0][0]
        assert running.some.wait(10)
        waiting = [bench.start("a", 3)[0][0] for _ in range(2)]
        with pytest.raises(QueueFullError) as caught:
            bench.start("a", 3)
        assert caught.value.status == 503
        assert 1 <= (caught.value.retry_after or 0) <= 60
        for each in waiting:
            assert len(each.wait()) == 3


def test_cancelling_frees_the_slot_before_the_next_step(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    options = EngineOptions(threads=1, sequences=1, queue=4, step_tokens=16)
    with Bench(tiny, vocabulary, options) as bench:
        running, sequences = bench.start("the", 400)
        assert running[0].some.wait(10)
        bench.scheduler.cancel(sequences)
        running[0].wait()
        assert running[0].finish is Finish.CANCELLED
        assert len(bench.say("a", 3).tokens) == 3
        wait_until(lambda: bench.scheduler.in_use == 0, 5, "free slot")


def test_cancelling_what_waits_ends_it_unheard(tiny: Loaded, vocabulary: Vocabulary) -> None:
    options = EngineOptions(threads=1, sequences=1, queue=4, step_tokens=16)
    with Bench(tiny, vocabulary, options) as bench:
        running = bench.start("the", 400)[0][0]
        assert running.some.wait(10)
        waiting, sequences = bench.start("a", 3)
        bench.scheduler.cancel(sequences)
        waiting[0].wait()
        assert waiting[0].finish is Finish.CANCELLED
        assert not waiting[0].has_started
        assert running.finish is None


@pytest.mark.parametrize("victim", [0, 1])
def test_cancelling_one_choice_leaves_the_others_alone(bench: Bench, victim: int) -> None:
    with bench:
        alone = bench.say(LONG, 12, WARM, seed=3 + (1 - victim)).tokens
        heard, sequences = bench.start(LONG, 12, WARM, seed=3, choices=2)
        bench.scheduler.cancel([sequences[victim]])
        assert heard[1 - victim].wait() == alone
        assert heard[victim].ended.wait(10)


def test_a_full_cache_preempts_and_every_request_still_ends(
    tmp_path_factory: pytest.TempPathFactory, log_tail: LogTail
) -> None:
    path = tmp_path_factory.mktemp("small-cache") / "model.gguf"
    write_tiny_gguf(path)
    options = EngineOptions(threads=1, sequences=6, context=512, step_tokens=64)
    loaded = load(path, 512, options, log_tail)
    with Bench(loaded, Vocabulary(loaded), options) as bench:
        heard = [bench.start(f"the {n}", 180, WARM, seed=n)[0][0] for n in range(5)]
        assert [len(each.wait()) for each in heard] == [180] * 5
        assert bench.scheduler.tally.preemptions > 0
        assert bench.scheduler.tally.requests == 5
    loaded.free()


def test_choices_survive_a_full_cache(
    tmp_path_factory: pytest.TempPathFactory, log_tail: LogTail
) -> None:
    path = tmp_path_factory.mktemp("small-cache") / "model.gguf"
    write_tiny_gguf(path)
    options = EngineOptions(threads=1, sequences=4, context=512, step_tokens=64)
    loaded = load(path, 512, options, log_tail)
    with Bench(loaded, Vocabulary(loaded), options) as bench:
        heard, _ = bench.start("the user", 200, WARM, choices=4)
        assert [len(each.wait()) for each in heard] == [200] * 4
        assert bench.scheduler.tally.preemptions > 0
        wait_until(lambda: bench.scheduler.in_use == 0, 5, "free slots")
    loaded.free()


def test_what_can_never_fit_fails_and_holds_nobody_up(
    tmp_path_factory: pytest.TempPathFactory, log_tail: LogTail
) -> None:
    path = tmp_path_factory.mktemp("small-cache") / "model.gguf"
    write_tiny_gguf(path)
    options = EngineOptions(threads=1, sequences=3, context=768, step_tokens=64, exact=True)
    loaded = load(path, 256, options, log_tail)
    with Bench(loaded, Vocabulary(loaded), options) as bench:
        large = bench.start("the user " * 300, 5)[0][0]
        small = [bench.start(f"the {n}", 20)[0][0] for n in range(4)]
        large.wait()
        assert large.finish is Finish.FAILED
        assert all(each.ended.wait(30) for each in small)
    loaded.free()


def test_with_cells_of_its_own_an_answer_is_the_same_to_the_last_bit_whatever_else_runs(
    tmp_path_factory: pytest.TempPathFactory, log_tail: LogTail
) -> None:
    path = tmp_path_factory.mktemp("own-cells") / "model.gguf"
    write_tiny_gguf(path, DEMO_SIZE)
    options = EngineOptions(threads=1, sequences=4, step_tokens=59, exact=True)
    loaded = load(path, 512, options, log_tail)
    sampling = Sampling(temperature=1.0, top_logprobs=1)
    prompts = ["the user that was " * (3 + 9 * n) for n in range(6)]
    with Bench(loaded, Vocabulary(loaded), options) as bench:
        alone = [bench.say(prompt, 12, sampling, seed=5) for prompt in prompts]
        among = [bench.start(prompt, 12, sampling, seed=5)[0][0] for prompt in prompts]
        for heard in among:
            heard.wait()
        choices, _ = bench.start(prompts[1], 12, sampling, seed=5, choices=3)
        first = choices[0].wait()
    loaded.free()
    assert [heard.tokens for heard in among] == [heard.tokens for heard in alone]
    assert [heard.logprobs for heard in among] == [heard.logprobs for heard in alone]
    assert first == alone[1].tokens


def test_a_grammar_shapes_the_answer_and_forced_tokens_save_steps(
    bench: Bench, grammars: Grammars
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "department": {"enum": ["system", "assistant"]},
            "needs_a_person": {"type": "boolean"},
        },
        "required": ["department", "needs_a_person"],
        "additionalProperties": False,
    }
    compiled = grammars.compile(schema, "schema")
    with bench:
        for sampling in (GREEDY, WARM, Sampling(temperature=2.0, presence_penalty=1.0)):
            before = bench.scheduler.tally.steps
            heard = bench.say("the", 200, sampling, schema=compiled)
            text = b"".join(map(bench.vocabulary.piece, heard.tokens)).decode()
            assert heard.finish is Finish.STOP
            assert set(json.loads(text)) == {"department", "needs_a_person"}
            compiled.validate(text)
            assert bench.scheduler.tally.steps - before < len(heard.tokens) / 2


def test_an_answer_that_is_forced_whole_needs_no_step(bench: Bench, grammars: Grammars) -> None:
    with bench:
        heard = bench.say("the", 50, schema=grammars.compile({"const": "yes"}, "schema"))
        assert bench.scheduler.tally.steps == 0
    assert b"".join(map(bench.vocabulary.piece, heard.tokens)) == b'"yes"'
    assert heard.finish is Finish.STOP


def test_forced_tokens_stop_at_the_limit(bench: Bench, grammars: Grammars) -> None:
    compiled = grammars.compile({"const": "a very long constant"}, "schema")
    with bench:
        heard = bench.say("the", 4, schema=compiled)
    assert len(heard.tokens) == 4
    assert heard.finish is Finish.LENGTH


def test_bias_bans_and_forces_tokens(bench: Bench) -> None:
    with bench:
        usual = bench.say("the", 5).tokens
        banned = bench.say("the", 5, Sampling(temperature=0.0, logit_bias={usual[0]: -100})).tokens
        forced = bench.say("the", 5, Sampling(temperature=1.0, logit_bias={300: 100})).tokens
    assert banned[0] != usual[0]
    assert forced == [300] * 5


def test_penalties_break_repetition(bench: Bench) -> None:
    bias = {300: 6.0}
    with bench:
        plain = bench.say("the", 20, Sampling(temperature=0.0, logit_bias=bias)).tokens
        fined = bench.say(
            "the",
            20,
            Sampling(temperature=0.0, logit_bias=bias, frequency_penalty=2.0, presence_penalty=2.0),
        ).tokens
    assert len(set(fined)) > len(set(plain))


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}])
def test_each_narrowing_at_its_end_is_greedy(bench: Bench, narrow: dict[str, float]) -> None:
    with bench:
        greedy = bench.say("the", 15).tokens
        sampling = Sampling(
            temperature=1.0,
            top_k=int(narrow.get("top_k", 0)),
            top_p=narrow.get("top_p", 1.0),
            min_p=narrow.get("min_p", 0.0),
        )
        assert bench.say("the", 15, sampling, seed=99).tokens == greedy


def test_log_probabilities_are_those_of_the_model(bench: Bench) -> None:
    with bench:
        heard = bench.say("the", 6, Sampling(temperature=0.0, top_logprobs=5))
    assert len(heard.logprobs) == 6
    for token, found in zip(heard.tokens, heard.logprobs, strict=True):
        values = [value for _, value in found.top]
        assert found.top[0] == (token, found.logprob)
        assert values == sorted(values, reverse=True)
        assert sum(map(math.exp, values)) <= 1.0


def test_an_idle_scheduler_uses_no_cpu(bench: Bench) -> None:
    with bench:
        bench.say("the", 5)
        clock = time.process_time()
        threading.Event().wait(0.5)
        assert time.process_time() - clock < 0.1


def test_closing_ends_what_runs_as_cancelled(bench: Bench) -> None:
    with bench:
        heard = bench.start("the", 400)[0][0]
        assert heard.some.wait(10)
    assert heard.finish is Finish.CANCELLED
