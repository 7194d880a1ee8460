"""A streamed answer put together again equals one that was not streamed."""

from __future__ import annotations

from typing import Any

from appliance.engine.client import Chunk
from appliance.tasks.gathering import Gathering
from appliance.tasks.work import Kind

HEAD = {"id": "chatcmpl-1", "created": 7, "model": "demo", "system_fingerprint": "fp"}


def chunk(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> Chunk:
    return Chunk("", 0, None, usage, {**HEAD, "choices": choices, "usage": usage})


def delta(index: int, content: str | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    part = {} if content is None else {"content": content}
    return {"index": index, "delta": part, "finish_reason": None, **more}


def test_choices_that_come_mixed_are_sorted_out() -> None:
    gathered = Gathering(Kind.CHAT)
    for part in (
        delta(1, "wor"),
        delta(0, "Hel"),
        delta(0, "lo"),
        delta(1, "ld"),
        delta(1, None, finish_reason="length"),
        delta(0, None, finish_reason="stop"),
    ):
        gathered.add(chunk([part]))
    gathered.add(chunk([], {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}))
    body = gathered.body()
    assert [choice["message"]["content"] for choice in body["choices"]] == ["Hello", "world"]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]
    assert body["usage"]["total_tokens"] == 7
    assert (body["object"], body["id"]) == ("chat.completion", "chatcmpl-1")
    assert (gathered.text, gathered.finish_reason) == ("Hello", "stop")


def test_log_probabilities_are_joined_in_order() -> None:
    gathered = Gathering(Kind.COMPLETION)
    for text, tokens in (("a b", ["a", " b"]), (" c", [" c"])):
        logprobs = {"tokens": tokens, "token_logprobs": [-1.0] * len(tokens)}
        gathered.add(chunk([{"index": 0, "text": text, "logprobs": logprobs}]))
    (choice,) = gathered.body()["choices"]
    assert choice["text"] == "a b c"
    assert choice["logprobs"] == {"tokens": ["a", " b", " c"], "token_logprobs": [-1.0, -1.0, -1.0]}


def test_an_answer_that_never_came_is_empty() -> None:
    gathered = Gathering(Kind.CHAT)
    assert (gathered.text, gathered.finish_reason, dict(gathered.usage)) == ("", "", {})
    assert gathered.content() == {"text": "", "choices": []}
