"""Tasks over the API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from appliance.tasks import TaskLibrary
from tests.support.records import find, read_records
from tests.support.stack import Stack

EXAMPLES = {task.name: task.inputs[0].example for task in TaskLibrary.load()}


def test_the_tasks_are_listed_with_their_inputs_and_schema(http: httpx.Client) -> None:
    listed = http.get("/v1/tasks").json()
    assert listed["object"] == "list"
    by_name = {task["name"]: task for task in listed["data"]}
    assert set(by_name) == set(EXAMPLES)
    triage = by_name["triage"]
    assert triage["inputs"][0]["name"] == "text"
    assert triage["output"]["schema"]["required"]
    assert http.get("/v1/tasks/triage").json() == triage


def test_a_task_answers_with_its_schema_checks_and_receipt(
    http: httpx.Client, stack: Stack
) -> None:
    response = http.post("/v1/tasks/triage", json={"inputs": {"text": EXAMPLES["triage"]}})
    assert response.status_code == 200, response.text
    answer = response.json()
    record_id = response.headers["X-Record-Id"]
    assert answer["record_id"] == record_id
    assert set(answer["output"]) == {
        "category",
        "urgency",
        "product",
        "next_action",
        "needs_human",
    }
    assert {check["name"]: check["passed"] for check in answer["checks"]} == {
        "complete": True,
        "schema": True,
    }
    (model,) = stack.engine.models()
    named = {"name": "demo", "answered_by": "demo", "sha256": model.sha256}
    assert answer["model"] == named | {"adapter_sha256": None}
    begin, end = find(read_records(stack.settings), record_id)
    assert (begin.meta["task"], begin.meta["task_version"]) == ("triage", 1)
    assert end.meta["checks"] == {"complete": True, "schema": True}
    assert answer["receipt"]["event"] == end.event
    assert answer["receipt"]["index"] == end.index
    assert answer["receipt"]["checkpoint"].startswith("cloister-demo")


def test_the_header_names_whom_a_request_is_about(http: httpx.Client, stack: Stack) -> None:
    given = {"inputs": {"text": EXAMPLES["triage"]}}
    name = "Fall M\u00fcller 7"
    headers = {"X-Subject": name.encode("utf-8")}
    response = http.post("/v1/tasks/triage", json=given, headers=headers)
    assert response.status_code == 200, response.text
    begin, end = find(read_records(stack.settings), response.headers["X-Record-Id"])
    assert (begin.subject, end.subject) == (name, name)
    assert "M\u00fcller" not in str(begin.meta)


@pytest.mark.parametrize("name", [b"x" * 257, b"\xff", b"a\xc2\x85b"])
def test_a_header_that_is_no_name_is_400(http: httpx.Client, name: bytes) -> None:
    given = {"inputs": {"text": EXAMPLES["triage"]}}
    response = http.post("/v1/tasks/triage", json=given, headers={"X-Subject": name})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_subject"
    assert response.json()["error"]["param"] == "X-Subject"


def test_a_text_task_answers_with_text(http: httpx.Client) -> None:
    response = http.post("/v1/tasks/deidentify", json={"inputs": {"text": EXAMPLES["deidentify"]}})
    answer = response.json()
    assert isinstance(answer["output"], str)
    assert answer["output"]


def test_extracted_values_are_checked_against_the_source(http: httpx.Client) -> None:
    response = http.post("/v1/tasks/extract", json={"inputs": {"text": EXAMPLES["extract"]}})
    passed = {check["name"]: check["passed"] for check in response.json()["checks"]}
    # Only an answer that keeps the schema has values to look for.
    assert ("verbatim" in passed) == passed["schema"]
    assert passed["schema"] == passed["complete"]


def test_a_plain_text_file_becomes_the_first_input(http: httpx.Client, stack: Stack) -> None:
    text = EXAMPLES["triage"]
    response = http.post("/v1/tasks/triage", files={"file": text.encode("utf-8-sig")})
    assert response.status_code == 200, response.text
    begin, _ = find(read_records(stack.settings), response.headers["X-Record-Id"])
    assert begin.content is not None
    assert begin.content["messages"][-1]["content"] == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04rest", "Office"),
        (b"\xd0\xcf\x11\xe0rest", "old Office"),
        (b"caf\xe9", "not UTF-8 text (byte 3)"),
        (b"a\x00b", "NUL"),
    ],
)
def test_a_file_that_is_no_plain_text_is_refused_clearly(
    http: httpx.Client, content: bytes, words: str
) -> None:
    response = http.post("/v1/tasks/triage", files={"file": ("letter.pdf", content)})
    assert response.status_code == 415
    error = response.json()["error"]
    assert error["param"] == "file"
    assert words in error["message"]
    assert "UTF-8" in error["message"]


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ({"files": {"letter": b"x"}}, "letter"),
        ({"files": [("file", b"x"), ("file", b"y")]}, "file"),
        ({"files": {"file": b"x"}, "data": {"text": "y"}}, "text"),
        ({"files": {"file": b" "}}, "inputs.text"),
        ({"files": {"file": b"x"}, "data": {"mood": "y"}}, "inputs.mood"),
    ],
)
def test_a_wrong_form_is_400_and_named(
    http: httpx.Client, parts: dict[str, Any], param: str
) -> None:
    response = http.post("/v1/tasks/triage", **parts)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_a_file_above_the_limit_is_413(http: httpx.Client) -> None:
    response = http.post("/v1/tasks/triage", files={"file": b"x" * 5_000_000})
    assert response.status_code == 413
    assert "4194304 bytes" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "inputs"),
        ({"inputs": "text"}, "inputs"),
        ({"inputs": {}}, "inputs.text"),
        ({"inputs": {"text": 5}}, "inputs.text"),
        ({"inputs": {"text": "x" * 6001}}, "inputs.text"),
        ({"inputs": {"text": "x", "mood": "y"}}, "inputs.mood"),
        ({"inputs": {"text": "x"}, "stream": True}, "stream"),
    ],
)
def test_wrong_inputs_are_400_and_named(
    http: httpx.Client, body: dict[str, Any], param: str
) -> None:
    response = http.post("/v1/tasks/triage", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.headers["X-Record-Id"]


def test_an_unknown_task_is_404_and_names_those_that_there_are(http: httpx.Client) -> None:
    response = http.post("/v1/tasks/translate", json={"inputs": {"text": "x"}})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "task_not_found"
    assert "triage" in response.json()["error"]["message"]


def test_a_key_sees_and_runs_the_tasks_of_its_scope_only(stack: Stack) -> None:
    with stack.http(stack.create_key(tasks=["triage"], models=[])) as client:
        assert [task["name"] for task in client.get("/v1/tasks").json()["data"]] == ["triage"]
        assert client.get("/v1/tasks/extract").status_code == 403
        assert client.post("/v1/tasks/extract", json={"inputs": {"text": "x"}}).status_code == 403
        ran = client.post("/v1/tasks/triage", json={"inputs": {"text": "Please call me."}})
        assert ran.status_code == 200
