"""What is wrong with a request is said, by field, in OpenAI's shape, and recorded."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from appliance.identity import Sessions
from tests.support.asking import SHORT
from tests.support.records import find, read_records
from tests.support.stack import Stack

CHAT = "/v1/chat/completions"


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "code", "param"}
    assert isinstance(body["error"]["message"], str)
    assert "Traceback" not in response.text
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b'{"model": "demo"', "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"model": "\xff"}', "not UTF-8: byte 11"),
        (b'{"model": "\\ud800"}', "surrogate"),
        (b'{"model": "demo", "temperature": NaN}', "NaN"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_body_that_can_not_be_read_is_400(http: httpx.Client, raw: bytes, words: str) -> None:
    response = http.post(CHAT, content=raw)
    assert response.status_code == 400
    assert words in error_of(response)["message"]
    assert response.headers["X-Record-Id"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "8"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": -3}, "n"),
        ({"n": True}, "n"),
        ({"temperature": -0.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stop": 5}, "stop"),
        ({"logprobs": "all"}, "logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"uniqueItems": True}},
                }
            },
            "response_format",
        ),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_a_wrong_field_is_400_and_named(
    http: httpx.Client, change: dict[str, Any], param: str
) -> None:
    response = http.post(CHAT, json=SHORT | change)
    assert response.status_code == 400, response.text
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    assert str(error["param"]).partition(".")[0].partition("[")[0] == param
    assert response.headers["X-Record-Id"]


def test_a_schema_keyword_that_can_not_be_enforced_is_named(http: httpx.Client) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"uniqueItems": True}}}
    response = http.post(CHAT, json=SHORT | {"response_format": form})
    assert "uniqueItems" in error_of(response)["message"]


def test_a_prompt_of_10_mb_is_400_and_names_the_field_and_the_limit(http: httpx.Client) -> None:
    text = "word " * 2_000_000
    response = http.post(CHAT, json=SHORT | {"messages": [{"role": "user", "content": text}]})
    assert response.status_code == 400
    assert error_of(response)["param"] == "messages"
    assert "4194304 bytes" in error_of(response)["message"]
    assert response.headers["X-Record-Id"]


def test_a_body_of_20_mb_is_413_and_names_the_limit(http: httpx.Client) -> None:
    text = "word " * 4_000_000
    response = http.post(CHAT, json=SHORT | {"messages": [{"role": "user", "content": text}]})
    assert response.status_code == 413
    assert "16777216 bytes" in error_of(response)["message"]
    assert response.headers["X-Record-Id"]


def test_a_body_of_20_mb_in_pieces_is_413_too(http: httpx.Client) -> None:
    response = http.post(CHAT, content=(b"x" * 100_000 for _ in range(200)))
    assert response.status_code == 413
    assert "16777216 bytes" in error_of(response)["message"]


def test_a_prompt_beyond_the_context_is_400(http: httpx.Client) -> None:
    text = "word " * 20_000
    response = http.post(CHAT, json=SHORT | {"messages": [{"role": "user", "content": text}]})
    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"


def test_unknown_model_is_404_and_logged(http: httpx.Client, stack: Stack) -> None:
    response = http.post(CHAT, json=SHORT | {"model": "gpt-4"})
    assert response.status_code == 404
    error = error_of(response)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    begin, end = find(read_records(stack.settings), response.headers["X-Record-Id"])
    assert begin.meta["model"] == "gpt-4"
    assert end.meta["outcome"] == "error:model_not_found"
    assert end.meta["model_digest"] is None


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic abc", "bearer clst_a_b"])
def test_no_or_a_wrong_key_is_401_and_recorded(stack: Stack, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = httpx.post(f"{stack.url}{CHAT}", json=SHORT, headers=headers, timeout=30)
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"
    assert response.headers["WWW-Authenticate"] == "Bearer"
    (record,) = [
        one for one in read_records(stack.settings) if one.event == response.headers["X-Record-Id"]
    ]
    assert (record.type, record.meta["event"]) == ("auth", "identity:key:refused")


def test_a_session_cookie_opens_nothing_here(stack: Stack) -> None:
    stack.create_user("cookie.monster")
    account = stack.accounts.get("cookie.monster")
    sessions = Sessions(stack.database, stack.log, timedelta(hours=1), timedelta(hours=1))
    cookie = {"cloister": sessions.open(account, "127.0.0.1").token}
    with httpx.Client(base_url=stack.url, cookies=cookie, timeout=30) as client:
        assert client.get("/").status_code == 200
        assert client.get("/v1/models").status_code == 401


def test_a_model_outside_the_scope_is_403_and_recorded(stack: Stack) -> None:
    with stack.http(stack.create_key(models=["other"])) as client:
        response = client.post(CHAT, json=SHORT)
    assert response.status_code == 403
    assert error_of(response)["type"] == "permission_error"
    (record,) = [
        one for one in read_records(stack.settings) if one.event == response.headers["X-Record-Id"]
    ]
    assert record.meta["event"] == "identity:access:refused"
    assert record.meta["model"] == "demo"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/images/generations"),
        ("GET", "/v1/"),
        ("DELETE", "/v1/models/demo"),
        ("GET", CHAT),
    ],
)
def test_what_is_not_there_is_a_404_error_object(
    http: httpx.Client, method: str, path: str
) -> None:
    response = http.request(method, path)
    assert response.status_code == 404
    assert method in error_of(response)["message"]


def test_no_request_of_an_api_user_reaches_the_operational_log(
    http: httpx.Client, stack: Stack
) -> None:
    secret = "Ottoline Quill 4471902"
    http.post(CHAT, json=SHORT | {"messages": [{"role": "user", "content": secret}]})
    http.post(CHAT, json=SHORT | {"messages": [{"role": "user", "content": secret}], "n": -1})
    http.post(CHAT, content=f'{{"model": "{secret}'.encode())
    for part in ("web", "engine", "writer"):
        assert "Ottoline" not in stack.output(part)
