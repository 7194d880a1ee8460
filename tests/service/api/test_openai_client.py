"""The official `openai` client works unchanged."""

from __future__ import annotations

import json
import re

import openai as package
import pytest
from openai import OpenAI

from tests.support.asking import SHORT
from tests.support.stack import Stack

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_chat_completion(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(**SHORT)
    (choice,) = answer.choices
    assert answer.object == "chat.completion"
    assert answer.model == "demo"
    assert choice.message.role == "assistant"
    assert choice.message.content is not None
    assert choice.finish_reason in {"stop", "length"}
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_chat_equals_the_whole_one(openai: OpenAI) -> None:
    whole = openai.chat.completions.create(**SHORT, seed=5)
    chunks = list(openai.chat.completions.create(**SHORT, seed=5, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert all(chunk.system_fingerprint for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def test_the_last_chunk_has_the_usage_when_asked_for(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(**SHORT, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_several_choices(openai: OpenAI) -> None:
    asked = SHORT | {"temperature": 1.0, "n": 2, "seed": 3}
    answer = openai.chat.completions.create(**asked)
    assert [choice.index for choice in answer.choices] == [0, 1]
    texts = ["", ""]
    for chunk in openai.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in answer.choices]


def test_log_probabilities(openai: OpenAI) -> None:
    asked = SHORT | {"logprobs": True, "top_logprobs": 3}
    (choice,) = openai.chat.completions.create(**asked).choices
    assert choice.logprobs is not None
    content = choice.logprobs.content
    assert content
    for token in content:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
    streamed = [
        token.token
        for chunk in openai.chat.completions.create(**asked, stream=True)
        if chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content or ()
    ]
    assert streamed == [token.token for token in content]


def test_an_answer_keeps_its_schema(openai: OpenAI) -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["colour", "count"],
        "properties": {
            "colour": {"type": "string", "enum": ["red", "green"]},
            "count": {"type": "integer", "minimum": 0, "maximum": 9},
        },
    }
    answer = openai.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "Which?"}],
        max_tokens=60,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "choice", "schema": schema, "strict": True},
        },
    )
    value = json.loads(answer.choices[0].message.content or "")
    assert set(value) == {"colour", "count"}
    assert value["colour"] in {"red", "green"}


def test_plain_completion(openai: OpenAI) -> None:
    asked = {"model": "demo", "prompt": "Dear", "max_tokens": 6, "temperature": 0}
    answer = openai.completions.create(**asked)
    assert answer.object == "text_completion"
    chunks = list(openai.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text


def test_models(openai: OpenAI) -> None:
    assert "demo" in [model.id for model in openai.models.list()]
    assert openai.models.retrieve("demo").object == "model"
    with pytest.raises(package.NotFoundError):
        openai.models.retrieve("gpt-4")


def test_headers_name_the_record_and_the_model(openai: OpenAI, stack: Stack) -> None:
    (model,) = stack.engine.models()
    for stream in (False, True):
        create = openai.chat.completions.with_streaming_response.create
        with create(**SHORT, stream=stream) as raw:
            assert UUID7.fullmatch(raw.headers["X-Record-Id"])
            assert raw.headers["X-Model"] == model.id
            assert raw.headers["X-Model-Digest"] == model.sha256


def test_a_wrong_key_is_an_authentication_error(stack: Stack) -> None:
    client = OpenAI(base_url=f"{stack.url}/v1", api_key="sk-123", max_retries=0)
    with pytest.raises(package.AuthenticationError) as caught, client:
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["X-Record-Id"]


def test_a_model_outside_the_scope_is_a_permission_error(stack: Stack) -> None:
    key = stack.create_key(models=["other"])
    with OpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0) as client:
        assert list(client.models.list()) == []
        with pytest.raises(package.PermissionDeniedError) as caught:
            client.chat.completions.create(**SHORT)
    assert caught.value.code == "out_of_scope"


def test_an_unknown_model_is_not_found(openai: OpenAI) -> None:
    with pytest.raises(package.NotFoundError) as caught:
        openai.chat.completions.create(**(SHORT | {"model": "gpt-4"}))
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
