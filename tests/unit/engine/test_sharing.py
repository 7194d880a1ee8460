"""Shared beginnings and guesses save work and change no answer."""

from __future__ import annotations

import random
from dataclasses import replace

from appliance.engine.llama import Loaded
from appliance.engine.sampling import Sampling
from appliance.engine.sequence import Finish
from appliance.engine.vocab import Vocabulary
from tests.unit.engine.conftest import OPTIONS
from tests.unit.engine.runs import Bench

ALONE = replace(OPTIONS, prefixes=0, draft=0)
INSTRUCTIONS = "the user that was with the system as it is to be for an assistant " * 3
LOOPING = "a b c d e f g h i j k l m n o p " * 4
INSISTENT = Sampling(temperature=0.0, logit_bias={100: 90.0, 101: 90.0})


def make(tiny: Loaded, vocabulary: Vocabulary, **changes: int) -> Bench:
    return Bench(tiny, vocabulary, replace(OPTIONS, **changes))


def test_a_second_request_that_begins_alike_decodes_only_the_rest(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    with make(tiny, vocabulary) as bench:
        bench.say(INSTRUCTIONS + "one")
        assert bench.scheduler.tally.shared_tokens == 0
        bench.say(INSTRUCTIONS + "two")
        common = len(vocabulary.plain(INSTRUCTIONS))
        assert bench.scheduler.tally.shared_tokens >= common - 2
        assert bench.scheduler.tally.prefix_hits == 1


def test_requests_that_come_together_decode_their_common_beginning_once(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    with make(tiny, vocabulary) as bench:
        crowd = [bench.start(INSTRUCTIONS + word)[0][0] for word in ("one", "two", "three", "four")]
        for heard in crowd:
            heard.wait()
        common = len(vocabulary.plain(INSTRUCTIONS))
        assert bench.scheduler.tally.shared_tokens >= 3 * (common - 2)


def test_greedy_answers_are_the_same_as_without(tiny: Loaded, vocabulary: Vocabulary) -> None:
    prompts = [INSTRUCTIONS + str(number) for number in range(6)] + [LOOPING, LOOPING + "a b c"]
    with Bench(tiny, vocabulary, ALONE) as bench:
        expected = [bench.say(each, 30).tokens for each in prompts]
    with make(tiny, vocabulary) as bench:
        one_by_one = [bench.say(each, 30).tokens for each in prompts]
        crowd = [bench.start(each, 30)[0][0] for each in prompts]
        together = [heard.wait() for heard in crowd]
    assert one_by_one == expected
    assert together == expected


def test_an_answer_that_repeats_itself_takes_fewer_steps(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    said, steps = [], []
    for draft in (0, 15):
        with make(tiny, vocabulary, draft=draft, prefixes=0) as bench:
            said.append(bench.say(LOOPING, 200, INSISTENT).tokens)
            steps.append(bench.scheduler.tally.steps)
            accepted = bench.scheduler.tally.accepted_tokens
            drafted = bench.scheduler.tally.drafted_tokens
    assert said[0] == said[1]
    assert len(said[0]) == 200
    assert 0 < accepted <= drafted
    assert steps[1] <= steps[0] - accepted + 1


def test_a_leader_that_is_cancelled_leaves_its_followers_unharmed(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    long = INSTRUCTIONS * 6
    with Bench(tiny, vocabulary, ALONE) as bench:
        expected = bench.say(long + "two", 12).tokens
    with make(tiny, vocabulary, step_tokens=16) as bench:
        _, leading = bench.start(long + "one", 12)
        follower = bench.start(long + "two", 12)[0][0]
        bench.scheduler.cancel(leading)
        assert follower.wait() == expected


def test_kept_beginnings_give_way_to_those_who_need_the_cells(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    with make(tiny, vocabulary) as bench:
        for number in range(12):
            heard = bench.say(f"{number} " * 120, 100)
            assert heard.finish is Finish.LENGTH
        assert bench.scheduler.tally.preemptions == 0


def test_a_storm_of_alike_and_cancelled_requests_changes_no_answer(
    tiny: Loaded, vocabulary: Vocabulary
) -> None:
    rng = random.Random(5)  # noqa: S311 - a repeatable storm
    prompts = [INSTRUCTIONS[: 30 * n] + str(n) for n in range(1, 8)]
    with Bench(tiny, vocabulary, ALONE) as bench:
        expected = {each: bench.say(each, 25).tokens for each in prompts}
    with make(tiny, vocabulary, queue=200) as bench:
        running = []
        for _ in range(60):
            prompt = rng.choice(prompts)
            heard, sequences = bench.start(prompt, 25)
            if rng.random() < 0.3:
                bench.scheduler.cancel(sequences)
            running.append((prompt, heard[0]))
        for prompt, heard_one in running:
            heard_one.wait()
            whole = expected[prompt]
            if heard_one.finish is Finish.CANCELLED:
                assert heard_one.tokens == whole[: len(heard_one.tokens)]
            else:
                assert heard_one.tokens == whole
        assert bench.scheduler.in_use == 0
