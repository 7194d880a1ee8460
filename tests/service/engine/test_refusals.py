"""What is wrong is refused by name, before anything runs."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from appliance.engine.options import LIMITS
from tests.service.engine.conftest import Engine, chat, completion


def refused(client: EngineClient, body: dict[str, object]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        client.chat(body) if "messages" in body else client.complete(body)
    return caught.value


def raw(engine: Engine, content: bytes, path: str = "/v1/chat/completions") -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket))) as http:
        return http.post(f"http://engine{path}", content=content, timeout=60)


def test_an_unknown_model_is_404_and_no_other_answers(client: EngineClient) -> None:
    error = refused(client, chat(model="unknown"))
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 5}, "model"),
        ({"temperature": "warm"}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"n": -1}, "n"),
        ({"n": 5}, "n"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"nonsense": 1}, "nonsense"),
        ({"logit_bias": {"512": 1}}, "logit_bias.512"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_object"}, "stop": "x"}, "stop"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(
    client: EngineClient, change: dict[str, object], param: str
) -> None:
    error = refused(client, chat(**change))
    assert (error.status, error.param) == (400, param)
    assert param.split(".")[0] in error.message


def test_an_unknown_schema_keyword_is_a_400_that_names_it(client: EngineClient) -> None:
    schema = {"type": "string", "uppercase": True}
    error = refused(
        client,
        chat(response_format={"type": "json_schema", "json_schema": {"schema": schema}}),
    )
    assert error.status == 400
    assert "uppercase" in error.message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"model": "tiny", "messages": "\xff"}', b"\x00", b"[" * 99_999],
)
def test_a_malformed_body_is_a_400(engine: Engine, content: bytes) -> None:
    response = raw(engine, content)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("field", ["messages", "prompt"])
def test_a_prompt_of_ten_megabytes_is_a_400_that_names_the_limit(
    client: EngineClient, field: str
) -> None:
    text = "the user " * 1_200_000
    error = refused(client, chat(text) if field == "messages" else completion(text))
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", field)
    assert "256 tokens" in error.message


def test_a_body_beyond_the_limit_is_a_400_that_names_it(engine: Engine) -> None:
    response = raw(engine, b" " * (LIMITS.body_bytes + 1))
    assert response.status_code == 400
    assert str(LIMITS.body_bytes) in response.json()["error"]["message"]


def test_a_prompt_that_fills_the_context_is_a_400(client: EngineClient) -> None:
    error = refused(client, chat("x" * 300))
    assert (error.status, error.param) == (400, "messages")
    assert "256 tokens" in error.message


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_prompt_and_answer_together_must_fit(client: EngineClient, name: str) -> None:
    body = chat()
    del body["max_tokens"]
    error = refused(client, {**body, name: 250})
    assert (error.code, error.param) == ("context_length_exceeded", name)


def test_without_a_limit_an_answer_fills_the_context(client: EngineClient) -> None:
    body = chat()
    del body["max_tokens"]
    assert client.chat(body).usage["total_tokens"] == 256


def test_an_empty_prompt_is_only_the_beginning_token(client: EngineClient) -> None:
    assert client.complete(completion("")).usage["prompt_tokens"] == 1


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "<script>", "a/b"])
def test_a_request_id_is_short_and_plain(client: EngineClient, request_id: str) -> None:
    with pytest.raises(EngineError) as caught:
        client.chat(chat(), request_id)
    assert (caught.value.status, caught.value.param) == (400, "X-Request-Id")


def test_unknown_paths_and_methods_have_the_same_shape(engine: Engine) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket))) as http:
        missing = http.get("http://engine/v1/nothing")
        wrong = http.get("http://engine/v1/completions")
    assert missing.status_code == 404
    assert wrong.status_code == 405
    assert missing.json()["error"]["code"] == wrong.json()["error"]["code"] == "unknown_url"


def test_a_full_queue_is_503_with_retry_after(engine: Engine) -> None:
    body = json.dumps(chat(max_tokens=60, n=4))

    def ask(http: httpx.Client) -> httpx.Response:
        return http.post("http://engine/v1/chat/completions", content=body, timeout=60)

    transport = httpx.HTTPTransport(uds=str(engine.socket))
    with httpx.Client(transport=transport) as http, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, [http] * 12))
    full = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(answer.json()["error"]["code"] == "queue_full" for answer in full)
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in full)


def test_no_prompt_reaches_the_log(engine: Engine, client: EngineClient) -> None:
    client.chat(chat("Rumpelstilzchen"))
    refused(client, chat("Rumpelstilzchen", temperature=-1))
    assert "Rumpelstilzchen" not in engine.log()
