"""Every field of a request is checked; errors name the field and its limit, never its value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.asgi import parse_json
from appliance.engine.errors import BadRequestError
from appliance.engine.protocol import ChatRequest, CompletionRequest, parse_request

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "secret words"}]}
COMPLETE: dict[str, Any] = {"model": "m", "prompt": "secret words"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"n": 0}, "n"),
        ({"n": -3}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -5}, "max_completion_tokens"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"stop": [1]}, "stop.0"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": "x" * 257}, "stop"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"logprobs": 1}, "logprobs"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"other": 1}}, "stream_options.other"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages.0.content.0.type",
        ),
        ({"messages": [{"role": "user", "content": "x", "name": "<|x|>"}]}, "messages.0.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "response_format.json_schema.schema",
        ),
        ({"tools": [{}]}, "tools"),
        ({"functions": []}, "functions"),
        ({"temprature": 1}, "temprature"),
        ({"model": None}, "model"),
    ],
)
def test_a_wrong_field_of_a_chat_is_named(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse_request(ChatRequest, {**CHAT, **change})
    assert caught.value.param is not None
    assert caught.value.param.startswith(param)
    assert caught.value.message.startswith(param)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": ["x"] * 65}, "prompt"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
        ({"suffix": 5}, "suffix"),
        ({"logprobs": -1}, "logprobs"),
    ],
)
def test_a_wrong_field_of_a_completion_is_named(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse_request(CompletionRequest, {**COMPLETE, **change})
    assert str(caught.value.param).startswith(param)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_a_prompt_is_text_texts_or_tokens(prompt: object, expected: object) -> None:
    parsed = parse_request(CompletionRequest, {"model": "m", "prompt": prompt})
    assert isinstance(parsed, CompletionRequest)
    assert parsed.prompts() == expected


def test_null_means_the_default() -> None:
    fields = ("temperature", "top_p", "n", "stop", "seed", "max_tokens", "logit_bias", "stream")
    parsed = parse_request(ChatRequest, {**CHAT, **dict.fromkeys(fields)})
    assert parsed.sampling(100).temperature == 1.0
    assert parsed.choices == 1


def test_what_clients_send_as_a_matter_of_course_is_accepted() -> None:
    extra = {
        "user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto",
        "parallel_tool_calls": True, "tools": [], "tool_choice": "none", "modalities": ["text"],
        "safety_identifier": "s", "prompt_cache_key": "k",
    }  # fmt: skip
    parse_request(ChatRequest, {**CHAT, **extra})


def test_text_parts_are_joined_and_developer_is_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    parsed = parse_request(
        ChatRequest, {**CHAT, "messages": [{"role": "developer", "content": parts}]}
    )
    assert isinstance(parsed, ChatRequest)
    assert parsed.messages[0].plain() == {"role": "system", "content": "ab"}


@pytest.mark.parametrize("key", ["x", "-1", "100", "1.5", "٣"])
def test_logit_bias_takes_only_token_ids_of_the_vocabulary(key: str) -> None:
    parsed = parse_request(ChatRequest, {**CHAT, "logit_bias": {key: 1}})
    with pytest.raises(BadRequestError, match="99"):
        parsed.sampling(100)


def test_top_logprobs_needs_logprobs() -> None:
    parsed = parse_request(ChatRequest, {**CHAT, "top_logprobs": 2})
    with pytest.raises(BadRequestError, match="logprobs"):
        parsed.sampling(100)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'"x"', b"\xff\xfe{}", b'{"a": "\xff"}', b'{"a": NaN}',
     b'{"a": "\\ud800"}', b"[" * 100_000],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_json(body)


def refused_param(
    kind: type[ChatRequest] | type[CompletionRequest], value: dict[str, Any]
) -> str | None:
    """The field that is named in a refusal, "" if none is; None if the body is accepted."""
    try:
        parse_request(kind, value)
    except BadRequestError as error:
        return error.param or ""
    return None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from([*ChatRequest.model_fields, *CompletionRequest.model_fields, "other"])


@given(st.dictionaries(FIELDS, JSON, max_size=6))
def test_any_json_object_is_parsed_or_refused_by_name(value: dict[str, Any]) -> None:
    for kind, base in ((ChatRequest, CHAT), (CompletionRequest, COMPLETE)):
        assert refused_param(kind, {**base, **value}) != ""


def test_nothing_that_was_written_is_kept_in_a_cache() -> None:
    body = b'{"content": "secret words"}'
    assert parse_json(body)["content"] is not parse_json(body)["content"]
