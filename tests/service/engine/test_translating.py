"""Models that read a text with one half and answer it with the other: T5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from tests.service.engine.conftest import SMALL, Engine, chat
from tests.support.tiny_gguf import write_manifest
from tests.support.tiny_t5 import T5Shape, write_tiny_t5
from tests.support.wait import wait_until

ENDLESS = {"1": -100.0}
TEXT = "summarize: the patient was seen today"


def add_t5(engine: Engine, name: str, shape: T5Shape | None = None) -> None:
    """Put a tiny T5 with a manifest into the engine's folder."""
    digest = write_tiny_t5(engine.models / f"{name}.gguf", shape)
    context = (shape or T5Shape()).context
    write_manifest(engine.models, name, digest, context=context, capabilities=("complete",))


@pytest.fixture(scope="module")
def translators(make_folder: Callable[[], Any]) -> Iterator[Engine]:
    engine = Engine(make_folder(), SMALL)
    add_t5(engine, "t5")
    add_t5(engine, "gated", T5Shape(gated=True))
    add_t5(engine, "slow", T5Shape(512, 2048, 8, 8, 256, 512))
    try:
        engine.start()
        for name in ("t5", "gated", "slow"):
            engine.wait_for(name, "ready")
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def client(translators: Engine) -> EngineClient:
    return translators.client()


def ask(**changes: object) -> dict[str, Any]:
    body = {"model": "t5", "prompt": TEXT, "max_tokens": 8, "temperature": 0}
    return {**body, "logit_bias": ENDLESS, **changes}


def text(client: EngineClient, **changes: object) -> str:
    return str(client.complete(ask(**changes)).body["choices"][0]["text"])


def test_what_is_read_decides_about_the_answer(client: EngineClient) -> None:
    answer = client.complete(ask())
    # Six words and the mark of the end; the token before the answer is nobody's.
    assert answer.usage == {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15}
    assert text(client) == answer.body["choices"][0]["text"]
    assert text(client, prompt="please pay the invoice") != answer.body["choices"][0]["text"]


def test_an_answer_does_not_begin_with_the_space_before_a_word(client: EngineClient) -> None:
    assert text(client, logit_bias={**ENDLESS, "40": 100.0}) == "on on on on on on on on"


def test_a_stream_says_the_same(client: EngineClient) -> None:
    whole = text(client)
    with client.stream_complete(ask()) as stream:
        assert "".join(chunk.text for chunk in stream) == whole


def test_token_ids_are_read_as_they_are(client: EngineClient) -> None:
    first = client.complete(ask(prompt=[30, 31, 32, 1]))
    assert first.usage["prompt_tokens"] == 4
    assert text(client, prompt=[30, 31, 32, 1]) == first.body["choices"][0]["text"]
    assert text(client, prompt=[30, 33, 1]) != first.body["choices"][0]["text"]


def test_many_prompts_and_choices_get_their_own_answers(client: EngineClient) -> None:
    prompts = [TEXT, "please pay the invoice"]
    alone = [text(client, prompt=prompt) for prompt in prompts]
    answer = client.complete(ask(prompt=prompts, n=2))
    assert [each["text"] for each in answer.body["choices"]] == [
        each for each in alone for _ in range(2)
    ]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda prompt: text(client, prompt=prompt), prompts))
    assert found == alone


def test_probabilities_add_up_and_are_not_those_of_unscaled_logits(client: EngineClient) -> None:
    """llama.cpp's logits are eight times too large here: nearly all would be on one token."""
    answer = client.complete(ask(logprobs=20, max_tokens=1))
    top = answer.body["choices"][0]["logprobs"]["top_logprobs"][0]
    shares = np.exp(sorted(top.values(), reverse=True))
    assert 0.1 < shares.sum() <= 1
    assert shares[0] < 0.5


def test_temperature_draws_from_the_same_probabilities(client: EngineClient) -> None:
    seeds = [text(client, temperature=1, seed=seed, max_tokens=1) for seed in range(12)]
    assert len(set(seeds)) >= 4
    again = [text(client, temperature=1, seed=seed, max_tokens=1) for seed in range(12)]
    assert again == seeds


def test_a_gated_model_with_its_own_output_answers_too(client: EngineClient) -> None:
    assert client.complete(ask(model="gated")).usage["completion_tokens"] == 8


def refused(call: Callable[[dict[str, Any]], object], body: dict[str, Any]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        call(body)
    return caught.value


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"prompt": "pay " * 200}, "prompt", "pass the 128 that model 't5' reads at once"),
        ({"max_tokens": 128}, "max_tokens", "128 tokens pass the 127 that model 't5' answers"),
        ({"prompt": ""}, "prompt", "must not be empty"),
        ({"prompt": [256]}, "prompt", "below 256"),
        ({"suffix": "today"}, "suffix", "was not trained to fill gaps"),
        ({"response_format": {"type": "json_object"}}, "response_format", "answers in words only"),
    ],
)
def test_what_it_can_not_do_is_a_400_that_names_the_field(
    client: EngineClient, change: dict[str, object], param: str, said: str
) -> None:
    error = refused(client.complete, ask(**change))
    assert (error.status, error.param) == (400, param)
    assert said in error.message


def test_a_chat_with_it_is_a_400_that_says_what_it_can(client: EngineClient) -> None:
    error = refused(client.chat, chat(model="t5"))
    assert (error.status, error.code) == (400, "model_incapable")
    assert "can not chat; it can: complete." in error.message


def test_an_alias_moves_to_it(translators: Engine) -> None:
    translators.admin().activate("reader", "t5", "tests", translators.status("t5").sha256)
    answer = translators.client().complete(ask(model="reader"))
    assert answer.identity.model == "t5"
    assert answer.body["choices"][0]["text"] == text(translators.client())


def test_hanging_up_frees_it_for_the_next_one(translators: Engine) -> None:
    with translators.client().stream_complete(ask(model="slow", max_tokens=500)) as stream:
        next(iter(stream))
        assert translators.status("slow").in_use == 1

    def idle() -> bool:
        status = translators.status("slow")
        return status.in_use == status.queued == 0

    wait_until(idle, 30, "end of the abandoned answer")
    assert text(translators.client(), model="slow", max_tokens=2)
