"""A runner that is killed while it answers: every stream says so, none just ends."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h11
import pytest

from tests.service.engine.conftest import ENDLESS, Engine
from tests.support.asking import events
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.wait import wait_until

# Wide enough that the answers below would take many seconds.
SLOW = Shape(width=256, inner=640, layers=6, heads=4, vocabulary=512, context=8192)
CHAT, COMPLETE = "/v1/chat/completions", "/v1/completions"
MESSAGES = [{"role": "user", "content": "the user"}]
NUMBERS = {"type": "array", "items": {"type": "integer"}, "minItems": 900, "maxItems": 900}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "numbers", "schema": NUMBERS}}
PLAIN: dict[str, Any] = {"model": "tiny", "max_tokens": 4000, "logit_bias": ENDLESS}

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {**PLAIN, "messages": MESSAGES}),
    "choices": (CHAT, {**PLAIN, "messages": MESSAGES, "n": 2}),
    "plain": (COMPLETE, {**PLAIN, "prompt": "the"}),
    "prompts": (COMPLETE, {**PLAIN, "prompt": ["the", "user and"], "max_tokens": 2000}),
    "logprobs": (CHAT, {**PLAIN, "messages": MESSAGES, "logprobs": True, "top_logprobs": 2}),
    "schema": (CHAT, {"model": "tiny", "messages": MESSAGES, "response_format": SCHEMA}),
    "usage": (CHAT, {**PLAIN, "messages": MESSAGES, "stream_options": {"include_usage": True}}),
}
SEQUENCES = 10
"""Enough for one of each kind; what comes after them waits in the queue."""


class Talk:
    """One request on a connection of its own, read byte by byte."""

    def __init__(self, engine: Engine, path: str, body: dict[str, Any]) -> None:
        self.status = 0
        self.text = b""
        self.whole = False  # the answer ended as HTTP says that it should
        self._http = h11.Connection(h11.CLIENT)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(engine.socket))
        raw = json.dumps(body).encode()
        headers = [("Host", "e"), ("Content-Length", str(len(raw)))]
        head = self._http.send(h11.Request(method="POST", target=path, headers=headers))
        self._socket.sendall((head or b"") + raw)
        self._http.send(h11.Data(data=raw))
        self._http.send(h11.EndOfMessage())

    def read_on(self) -> None:
        """Take one more piece of the answer, or its end."""
        event = self._http.next_event()
        if event is h11.NEED_DATA:
            self._http.receive_data(self._socket.recv(65536))
        elif isinstance(event, h11.Response):
            self.status = event.status_code
        elif isinstance(event, h11.Data):
            self.text += event.data
        elif isinstance(event, h11.EndOfMessage):
            self.whole = True

    def read_some(self) -> Talk:
        """Read until there is text of the model."""
        while not self.whole and not any(_says_something(one) for one in self.events()):
            self.read_on()
        return self

    def read_all(self) -> Talk:
        """Read to the end of the answer."""
        while not self.whole:
            self.read_on()
        self._socket.close()
        return self

    def events(self) -> list[Any]:
        """The events that have come whole."""
        return events(self.text.decode().rpartition("\n\n")[0].splitlines())


def _says_something(event: dict[str, Any] | str) -> bool:
    if isinstance(event, str):
        return False
    choices = event.get("choices") or [{}]
    return bool(choices[0].get("text") or choices[0].get("delta", {}).get("content"))


@pytest.fixture
def slow(own_engine: Engine) -> Engine:
    """An engine whose answers take long."""
    own_engine.options = (
        "--threads=1",
        f"--sequences={SEQUENCES}",
        "--context=49152",
        "--queue=8",
        "--step-tokens=64",
    )
    weights = own_engine.models / "tiny.gguf"
    write_manifest(own_engine.models, "tiny", write_tiny_gguf(weights, SLOW), context=8192)
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    return own_engine


def test_each_kind_of_stream_ends_with_an_error_event_and_without_done(slow: Engine) -> None:
    talks = {
        name: Talk(slow, path, {**body, "stream": True}) for name, (path, body) in KINDS.items()
    }
    with ThreadPoolExecutor(len(talks)) as pool:
        list(pool.map(Talk.read_some, talks.values()))
        slow.runners()[0].kill()
        list(pool.map(Talk.read_all, talks.values()))
    for name, talk in talks.items():
        assert talk.status == 200, name
        *before, last = talk.events()
        assert last["error"]["code"] == "runner_died", name
        assert "tiny" in last["error"]["message"], name
        assert any(_says_something(one) for one in before), name
        assert "[DONE]" not in before, name
        assert not any("error" in one for one in before), name
        reasons = [one["choices"][0]["finish_reason"] for one in before if one["choices"]]
        assert set(reasons) == {None}, name


def test_whole_answers_and_those_in_the_queue_are_503_with_a_time_to_come_back(
    slow: Engine,
) -> None:
    path, body = KINDS["chat"]
    running = [Talk(slow, path, body) for _ in range(SEQUENCES)]
    wait_until(lambda: slow.status("tiny").in_use == SEQUENCES, 30, "running requests")
    queued = [Talk(slow, path, {**body, "stream": stream}) for stream in (True, False)]
    wait_until(lambda: slow.status("tiny").queued == len(queued), 30, "waiting requests")
    slow.runners()[0].kill()
    for talk in (*running, *queued):
        talk.read_all()
        assert talk.status == 503
        assert json.loads(talk.text)["error"]["code"] == "runner_died"
    slow.wait_for("tiny", "ready")
    again = Talk(slow, path, {**body, "max_tokens": 4, "stream": True}).read_all()
    assert again.events()[-1] == "[DONE]"
