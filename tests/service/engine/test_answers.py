"""Answers in OpenAI's shape, streamed and whole."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from appliance.engine.client import EngineClient
from tests.service.engine.conftest import ENDLESS, Engine, chat, completion

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["alpha", "beta"]},
        "adult": {"type": "boolean"},
    },
    "required": ["name", "kind", "adult"],
    "additionalProperties": False,
}


def with_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def test_a_chat_is_answered_and_says_what_it_came_from(client: EngineClient) -> None:
    answer = client.chat(chat(seed=11))
    assert answer.finish_reason == "length"
    assert answer.usage["completion_tokens"] == 8
    assert answer.usage["total_tokens"] == answer.usage["prompt_tokens"] + 8
    assert answer.body["object"] == "chat.completion"
    identity = answer.identity
    assert identity.model_digest == client.models()[0].sha256
    assert len(identity.template_digest) == 64
    assert "llama.cpp/" in identity.build
    assert identity.seed == 11


def test_a_seed_is_chosen_and_told_where_none_is_given(client: EngineClient) -> None:
    first = client.chat(chat(temperature=1))
    again = client.chat(chat(temperature=1, seed=first.identity.seed))
    assert again.text == first.text


def test_a_stream_says_the_same_as_the_whole_answer(client: EngineClient) -> None:
    whole = client.chat(chat(max_tokens=30))
    with client.stream_chat(chat(max_tokens=30)) as stream:
        assert stream.identity.model_digest == whole.identity.model_digest
        chunks = list(stream)
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert chunks[0].body["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1].finish_reason == "length"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_the_usage_if_asked(client: EngineClient) -> None:
    with client.stream_chat(chat(stream_options={"include_usage": True})) as stream:
        last = list(stream)[-1]
    assert last.usage is not None
    assert last.usage["completion_tokens"] == 8
    assert last.body["choices"] == []


def test_completions_take_texts_and_tokens(client: EngineClient) -> None:
    one = client.complete(completion())
    many = client.complete(completion(["the user", "a"], n=2, temperature=1, seed=1))
    tokens = client.complete(completion([1, 300, 301]))
    assert one.body["object"] == "text_completion"
    assert one.identity.template_digest == "none"
    assert [choice["index"] for choice in many.body["choices"]] == [0, 1, 2, 3]
    assert many.usage["completion_tokens"] == 32
    assert tokens.usage["prompt_tokens"] == 3


def test_a_plain_completion_has_16_tokens_by_default(client: EngineClient) -> None:
    body = completion()
    del body["max_tokens"]
    assert client.complete(body).usage["completion_tokens"] == 16


def test_a_stop_string_ends_the_answer_before_itself(client: EngineClient) -> None:
    text = client.chat(chat(max_tokens=40)).text
    stop = text[10:13]
    answer = client.chat(chat(max_tokens=40, stop=[stop, "never said"]))
    assert answer.text == text[: text.index(stop)]
    assert answer.finish_reason == "stop"
    with client.stream_chat(chat(max_tokens=40, stop=stop)) as stream:
        assert "".join(chunk.text for chunk in stream) == answer.text


def test_an_answer_ends_where_the_model_ends_it(client: EngineClient) -> None:
    answer = client.chat(chat(logit_bias={"4": 100}))
    assert answer.text == ""
    assert answer.finish_reason == "stop"


def test_several_choices_stream_side_by_side(client: EngineClient) -> None:
    body = chat(n=3, temperature=1, seed=5, max_tokens=12)
    whole = client.chat(body)
    said = ["", "", ""]
    with client.stream_chat(body) as stream:
        for chunk in stream:
            said[chunk.index] += chunk.text
    assert said == [choice["message"]["content"] for choice in whole.body["choices"]]
    assert len(set(said)) > 1


def test_log_probabilities_come_with_their_tokens(client: EngineClient) -> None:
    answer = client.chat(chat(logprobs=True, top_logprobs=3))
    entries = answer.body["choices"][0]["logprobs"]["content"]
    assert len(entries) == 8
    assert all(len(entry["top_logprobs"]) == 3 for entry in entries)
    joined = b"".join(bytes(entry["bytes"]) for entry in entries)
    assert joined.decode("utf-8", "replace") == answer.text
    with client.stream_chat(chat(logprobs=True, top_logprobs=3)) as stream:
        streamed = [
            entry
            for chunk in stream
            for choice in chunk.body["choices"]
            if choice.get("logprobs")
            for entry in choice["logprobs"]["content"]
        ]
    assert [entry["logprob"] for entry in streamed] == [entry["logprob"] for entry in entries]


def test_log_probabilities_of_completions_have_the_old_shape(client: EngineClient) -> None:
    found = client.complete(completion(logprobs=2)).body["choices"][0]["logprobs"]
    assert {len(column) for column in found.values()} == {8}
    assert found["text_offset"][0] == 0


@pytest.mark.parametrize("temperature", [0, 1])
def test_an_answer_with_a_schema_is_valid_json(client: EngineClient, temperature: float) -> None:
    body = chat(max_tokens=200, temperature=temperature, response_format=with_schema(PERSON))
    answer = client.chat(body)
    assert answer.finish_reason == "stop"
    assert set(json.loads(answer.text)) == set(PERSON["required"])
    with client.stream_chat({**body, "seed": answer.identity.seed}) as stream:
        assert "".join(chunk.text for chunk in stream) == answer.text


def test_json_object_is_some_object(client: EngineClient) -> None:
    bias = {**ENDLESS, str(5 + ord("}")): 8.0, "125": 8.0}
    body = chat(max_tokens=150, response_format={"type": "json_object"}, logit_bias=bias)
    answer = client.chat(body)
    if answer.finish_reason == "stop":
        assert isinstance(json.loads(answer.text), dict)
    assert answer.text.startswith("{")


def test_an_answer_that_a_limit_cuts_is_not_called_invalid(client: EngineClient) -> None:
    answer = client.chat(chat(max_tokens=3, response_format=with_schema(PERSON)))
    assert answer.finish_reason == "length"


def test_many_clients_at_once_get_the_answers_that_they_get_alone(engine: Engine) -> None:
    client = engine.client()
    bodies = [chat(f"user {number}", max_tokens=16) for number in range(8)]
    alone = [client.chat(body).usage for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        together = [answer.usage for answer in pool.map(client.chat, bodies)]
    assert together == alone


def test_metrics_count_without_content(client: EngineClient) -> None:
    client.chat(chat("a very special word"))
    text = client.metrics()
    assert 'cloister_engine_answer_tokens_total{model="tiny"}' in text
    assert 'cloister_engine_model_state{model="tiny",state="ready"} 1.0' in text
    assert "special" not in text


def test_the_official_client_of_openai_works_over_the_socket(engine: Engine) -> None:
    http = httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket)))
    body = chat()
    del body["model"]
    with openai.OpenAI(base_url="http://engine/v1", api_key="none", http_client=http) as api:
        assert [model.id for model in api.models.list()] == ["tiny"]
        answer = api.chat.completions.create(model="tiny", **body)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 8
        stream = api.chat.completions.create(model="tiny", stream=True, **body)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert said == answer.choices[0].message.content
        plain = api.completions.create(model="tiny", prompt="the", max_tokens=4, temperature=0)
        assert plain.object == "text_completion"
        with pytest.raises(openai.NotFoundError, match="no model"):
            api.chat.completions.create(model="other", messages=[])
        with pytest.raises(openai.BadRequestError, match="temperature"):
            api.completions.create(model="tiny", prompt="x", temperature=9)
