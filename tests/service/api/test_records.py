"""Each answer has a record before it and a record after it, with everything that it came from."""

from __future__ import annotations

import httpx

from tests.support.asking import SHORT, events
from tests.support.records import find, read_records
from tests.support.stack import Stack

CHAT = "/v1/chat/completions"


def test_an_answer_has_a_begin_and_an_end_record(
    http: httpx.Client, stack: Stack, key: str
) -> None:
    asked = SHORT | {"seed": 11, "temperature": 0.5}
    response = http.post(CHAT, json=asked)
    begin, end = find(read_records(stack.settings), response.headers["X-Record-Id"])
    (model,) = stack.engine.models()
    prefix = key.split("_")[1]

    assert (begin.type, end.type) == ("prompt", "answer")
    assert begin.actor == end.actor == f"key:{prefix}"
    assert begin.content == asked
    assert begin.meta["source"] == "api"
    assert begin.meta["key"] == prefix
    assert begin.meta["address"] == "127.0.0.1"
    assert begin.meta["sampling"] == {"max_tokens": 8, "seed": 11, "temperature": 0.5}

    answer = response.json()
    assert end.content is not None
    assert end.content["text"] == answer["choices"][0]["message"]["content"]
    assert end.meta["outcome"] == "answered"
    assert end.meta["finish_reason"] == answer["choices"][0]["finish_reason"]
    assert begin.meta["model"] == end.meta["model"] == end.meta["answered_by"] == "demo"
    assert end.meta["model_digest"] == model.sha256
    assert end.meta["template_digest"] == response.headers["X-Template-Digest"]
    assert end.meta["build"] == response.headers["X-Engine-Build"]
    assert end.meta["seed"] == 11
    assert end.meta["completion_tokens"] == answer["usage"]["completion_tokens"]
    assert end.meta["duration_ms"] >= end.meta["first_token_ms"] >= 0


def test_metadata_holds_no_word_of_prompt_or_answer(http: httpx.Client, stack: Stack) -> None:
    asked = SHORT | {"messages": [{"role": "user", "content": "Ottoline Quill"}]}
    response = http.post(CHAT, json=asked)
    begin, end = find(read_records(stack.settings), response.headers["X-Record-Id"])
    assert "Ottoline" in repr(begin.content)
    assert "Ottoline" not in repr(begin.meta) + repr(end.meta)


def test_a_streamed_answer_is_recorded_as_it_was_shown(http: httpx.Client, stack: Stack) -> None:
    with http.stream("POST", CHAT, json=SHORT | {"stream": True, "n": 2}) as response:
        shown = events(response.iter_lines())
    assert shown[-1] == "[DONE]"
    texts = ["", ""]
    for chunk in shown[:-1]:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    _, end = find(read_records(stack.settings), response.headers["X-Record-Id"])
    assert end.content is not None
    assert [choice["text"] for choice in end.content["choices"]] == texts
