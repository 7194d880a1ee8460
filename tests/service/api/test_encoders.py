"""Vectors and classes over the API: the same keys, records and refusals as any request."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openai import BadRequestError, OpenAI

from tests.support.records import Record, find, read_records
from tests.support.stack import Stack
from tests.support.tiny_bert import LABELS, BertShape, write_tiny_bert
from tests.support.tiny_gguf import write_manifest
from tests.support.wait import wait_until

EMBED, CLASSIFY = "/v1/embeddings", "/v1/classify"
TEXTS = ["the invoice is very urgent", "Ottoline Quill"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with an encoder beside the demo model, slow enough to be hung up on."""
    stack = Stack.start(tmp_path_factory.mktemp("encoders"))
    shape = BertShape(256, 1024, 4, 4)
    digest = write_tiny_bert(stack.settings.models / "bert.gguf", shape)
    write_manifest(
        stack.settings.models, "bert", digest, context=128, capabilities=("embed", "classify")
    )

    def ready() -> bool:
        return any(one.id == "bert" and one.state == "ready" for one in stack.engine.models())

    try:
        wait_until(ready, 120, "a loaded encoder")
        yield stack
    finally:
        output = stack.output("web") + stack.output("engine")
        stack.stop()
    assert "Traceback" not in output
    assert "Ottoline" not in output


@pytest.fixture(scope="module")
def key(own: Stack) -> str:
    return own.create_key()


@pytest.fixture
def http(own: Stack, key: str) -> Iterator[httpx.Client]:
    with own.http(key) as client:
        yield client


def both(own: Stack, response: httpx.Response) -> tuple[Record, Record]:
    return find(read_records(own.settings), response.headers["X-Record-Id"])


def test_openais_client_gets_its_vectors(own: Stack, key: str) -> None:
    """It asks for base64 unless told otherwise, and decodes it itself."""
    with OpenAI(base_url=f"{own.url}/v1", api_key=key, max_retries=0) as openai:
        by_default = openai.embeddings.create(model="bert", input=TEXTS)
        as_float = openai.embeddings.create(model="bert", input=TEXTS, encoding_format="float")
        with pytest.raises(BadRequestError, match="it can: embed, classify") as caught:
            openai.completions.create(model="bert", prompt="Hello")
    assert caught.value.code == "model_incapable"
    assert by_default.usage.total_tokens == as_float.usage.total_tokens > 4
    for one, other in zip(by_default.data, as_float.data, strict=True):
        assert len(one.embedding) == 256
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(each * each for each in one.embedding) == pytest.approx(1, abs=1e-5)


def test_vectors_are_recorded_by_their_digest(own: Stack, http: httpx.Client) -> None:
    asked = {"model": "bert", "input": TEXTS}
    response = http.post(EMBED, json=asked)
    begin, end = both(own, response)
    answer = response.json()
    assert response.headers["X-Model"] == "bert"
    assert (begin.type, end.type) == ("prompt", "answer")
    assert begin.content == asked
    assert begin.meta["request"] == "embedding"
    assert begin.meta["chars"] == sum(map(len, TEXTS))
    assert end.meta["outcome"] == "answered"
    assert end.meta["answered_by"] == "bert"
    assert end.meta["prompt_tokens"] == answer["usage"]["prompt_tokens"]
    assert end.meta["model_digest"] == response.headers["X-Model-Digest"]
    vectors = [each["embedding"] for each in answer["data"]]
    text = json.dumps(vectors, separators=(",", ":"))
    assert end.content == {"vectors": 2, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert "Ottoline" not in repr(begin.meta) + repr(end.meta)


def test_classes_are_recorded_as_they_were_shown(own: Stack, http: httpx.Client) -> None:
    response = http.post(CLASSIFY, json={"model": "bert", "input": TEXTS[0]})
    begin, end = both(own, response)
    (found,) = response.json()["data"]
    assert {each["label"] for each in found["classes"]} == set(LABELS)
    assert sum(each["probability"] for each in found["classes"]) == pytest.approx(1, abs=1e-5)
    assert begin.meta["request"] == "classification"
    assert end.content is not None
    (kept,) = end.content["classifications"]
    assert kept["label"] == found["label"]
    assert kept["probability"] == pytest.approx(found["probability"])


def test_the_answers_keep_the_described_schemas(http: httpx.Client) -> None:
    document = http.get("/v1/openapi.json").json()

    def check(value: object, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(value)

    asked: dict[str, Any] = {"model": "bert", "input": [[2, 5, 3]]}
    check(asked, "EmbeddingsRequest")
    check(http.post(EMBED, json=asked).json(), "Embeddings")
    check(http.post(EMBED, json=asked | {"encoding_format": "base64"}).json(), "Embeddings")
    check(http.post(CLASSIFY, json=asked).json(), "Classifications")


def test_models_say_what_they_can_do(http: httpx.Client) -> None:
    listed = {one["id"]: one["cloister"] for one in http.get("/v1/models").json()["data"]}
    assert listed["bert"]["capabilities"] == ["embed", "classify"]
    assert "chat" in listed["demo"]["capabilities"]


@pytest.mark.parametrize(
    ("path", "asked", "status", "code", "param"),
    [
        (EMBED, {"model": "demo", "input": "Hello"}, 400, "model_incapable", "model"),
        (CLASSIFY, {"model": "demo", "input": "Hello"}, 400, "model_incapable", "model"),
        (EMBED, {"model": "none", "input": "Hello"}, 404, "model_not_found", "model"),
        (EMBED, {"model": "bert"}, 400, "missing_field", "input"),
        (EMBED, {"model": "bert", "input": "a " * 200}, 400, "context_length_exceeded", "input"),
        (EMBED, {"input": "Hello"}, 400, "invalid_value", "model"),
    ],
)
def test_refusals_are_clear_and_recorded(
    own: Stack, http: httpx.Client, path: str, asked: dict[str, Any], status: int, code: str,
    param: str,
) -> None:  # fmt: skip
    response = http.post(path, json=asked)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    record_id = response.headers["X-Record-Id"]
    records = [one for one in read_records(own.settings) if one.event == record_id]
    assert len(records) == 1
    if records[0].type == "prompt":
        assert both(own, response)[1].meta["outcome"] == f"error:{code}"


def test_without_a_key_nothing_is_read(own: Stack) -> None:
    with own.http() as http:
        assert http.post(EMBED, json={"model": "bert", "input": "Hello"}).status_code == 401


def test_a_key_for_another_model_is_refused(own: Stack) -> None:
    with own.http(own.create_key(models=["demo"])) as http:
        response = http.post(CLASSIFY, json={"model": "bert", "input": "Hello"})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "out_of_scope")


def test_a_client_that_hangs_up_cancels_and_is_recorded(own: Stack, key: str) -> None:
    body = json.dumps({"model": "bert", "input": ["pay " * 100] * 1500}).encode()
    head = (
        f"POST {EMBED} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    def status() -> tuple[int, int]:
        return next((one.in_use, one.queued) for one in own.engine.models() if one.id == "bert")

    with socket.create_connection(("127.0.0.1", own.settings.port)) as connection:
        connection.sendall(head.encode() + body)
        wait_until(lambda: status() == (1, 0), 30, "a running request")
    wait_until(lambda: status() == (0, 0), 15, "an idle encoder")

    def ended() -> Record | None:
        records = read_records(own.settings)
        last = [one for one in records if one.type == "prompt"][-1]
        return next((one for one in records if one.meta.get("begin") == last.event), None)

    assert wait_until(ended, 15, "an end record").meta["outcome"] == "cancelled"
