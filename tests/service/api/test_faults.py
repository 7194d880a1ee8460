"""Parts that die: nothing is answered that is not recorded, and everybody is told."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.asking import SHORT, events, long_request
from tests.support.records import Record, find, read_records
from tests.support.stack import Stack
from tests.support.wait import wait_until

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that the tests of this file break and mend."""
    stack = Stack.start(tmp_path_factory.mktemp("faults"), engine_sequences=2, engine_queue=1)
    yield stack
    output = stack.output("web")
    stack.stop()
    assert "Traceback" not in output


@pytest.fixture
def key(own: Stack) -> str:
    return own.create_key()


def end_of(own: Stack, record_id: str) -> tuple[Record, Record]:
    """Both records, once the second is there; it is written after the client has gone."""

    def both() -> tuple[Record, Record] | None:
        records = read_records(own.settings)
        ended = any(one.meta.get("begin") == record_id for one in records)
        return find(records, record_id) if ended else None

    return wait_until(both, 15, f"end record of {record_id}")


def tokens(own: Stack) -> float:
    """Tokens that the engine has taken in and made."""
    return own.metric("cloister_engine_prompt_tokens_total") + own.metric(
        "cloister_engine_answer_tokens_total"
    )


def engine_is_idle(own: Stack) -> bool:
    return all(model.in_use == model.queued == 0 for model in own.engine.models())


def test_without_the_writer_nothing_runs(own: Stack, key: str) -> None:
    with own.http(key) as client:
        assert client.post(CHAT, json=SHORT).status_code == 200
    before = tokens(own)
    assert before > 0
    own.kill("writer", signal.SIGTERM)
    try:
        with own.http(key) as client:
            for stream in (False, True):
                response = client.post(CHAT, json=SHORT | {"stream": stream})
                assert response.status_code == 503
                assert int(response.headers["Retry-After"]) > 0
                assert response.json()["error"]["code"] == "log_unavailable"
            ready = client.get("/readyz")
            assert ready.status_code == 503
            assert not ready.json()["parts"]["log"]["ready"]
            assert client.get("/healthz").status_code == 200
    finally:
        own.restart("writer")
    assert tokens(own) == before
    with own.http(key) as client:
        assert client.post(CHAT, json=SHORT).status_code == 200


def test_a_writer_killed_in_the_stream_ends_it_with_an_error(own: Stack, key: str) -> None:
    try:
        with (
            own.http(key) as client,
            client.stream("POST", CHAT, json=long_request(300) | {"stream": True}) as response,
        ):
            lines = response.iter_lines()
            first = next(lines)
            own.kill("writer")
            shown = events([first, *lines])
    finally:
        own.restart("writer")
    assert "[DONE]" not in shown
    assert shown[-1]["error"]["code"] == "log_unavailable"


def test_a_writer_killed_before_the_end_withholds_the_answer(own: Stack, key: str) -> None:
    try:
        with own.http(key) as client, _sent(own, key, long_request(300)) as connection:
            wait_until(lambda: not engine_is_idle(own), 15, "running request")
            own.kill("writer")
            answer = _received(connection)
            assert client.get("/healthz").status_code == 200
    finally:
        own.restart("writer")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"Retry-After" in head
    assert b"log_unavailable" in body
    assert b"choices" not in body


def test_a_runner_killed_in_the_stream_ends_it_with_an_error(own: Stack, key: str) -> None:
    with (
        own.http(key) as client,
        client.stream("POST", CHAT, json=long_request() | {"stream": True}) as response,
    ):
        lines = response.iter_lines()
        first = next(lines)
        for runner in own.runners():
            runner.kill()
        shown = events([first, *lines])
    assert "[DONE]" not in shown
    assert shown[-1]["error"]["code"] == "runner_died"
    _, end = end_of(own, response.headers["X-Record-Id"])
    assert end.meta["outcome"] == "error:runner_died"
    assert end.content is not None
    assert end.content["text"]
    wait_until(lambda: own.engine.models()[0].state == "ready", 60, "new runner")


def test_a_web_process_killed_in_the_stream_frees_the_engine_and_leaves_no_answer(
    own: Stack, key: str
) -> None:
    with _sent(own, key, long_request()):
        wait_until(lambda: not engine_is_idle(own), 15, "running request")
        own.kill("web")
    try:
        wait_until(lambda: engine_is_idle(own), 10, "engine that stopped")
        records = read_records(own.settings)
        begun = [one for one in records if one.type == "prompt"][-1]
        assert not any(one.meta.get("outcome") and one.index > begun.index for one in records)
    finally:
        own.restart("web")


def test_a_database_that_is_locked_is_503(own: Stack) -> None:
    # The first use of a key is a write; the lock is held for longer than a writer waits.
    fresh = own.create_key()
    with own.http(fresh) as client, own.database.write():
        response = client.post(CHAT, json=SHORT)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "database_unavailable"
    assert int(response.headers["Retry-After"]) > 0


def test_without_the_engine_the_request_is_refused_and_recorded(own: Stack, key: str) -> None:
    own.kill("engine")
    try:
        with own.http(key) as client:
            response = client.post(CHAT, json=SHORT)
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
            assert client.get("/v1/models").status_code == 503
            assert client.get("/metrics").status_code == 200
    finally:
        own.restart("engine")
    _, end = end_of(own, response.headers["X-Record-Id"])
    assert end.meta["outcome"] == "error:engine_unavailable"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_cancels_and_is_recorded(own: Stack, key: str, stream: bool) -> None:
    with _sent(own, key, long_request() | {"stream": stream}):
        wait_until(lambda: not engine_is_idle(own), 15, "running request")
    wait_until(lambda: engine_is_idle(own), 3, "engine that stopped")
    last = [one for one in read_records(own.settings) if one.type == "prompt"][-1]
    _, end = end_of(own, last.event)
    assert end.meta["outcome"] == "cancelled"
    assert end.content is not None
    assert end.meta["model_digest"]


def test_a_client_that_hangs_up_in_the_queue_is_recorded_too(own: Stack, key: str) -> None:
    busy = [_sent(own, key, long_request() | {"seed": seed}) for seed in range(2)]
    try:
        wait_until(lambda: own.engine.models()[0].in_use == 2, 15, "two running requests")
        with _sent(own, key, SHORT):
            wait_until(lambda: own.engine.models()[0].queued == 1, 15, "waiting request")
        waiting = [one for one in read_records(own.settings) if one.type == "prompt"][-1]
        _, end = end_of(own, waiting.event)
        assert end.meta["outcome"] in {"cancelled", "error:cancelled"}
        assert own.engine.models()[0].in_use == 2
    finally:
        for connection in busy:
            connection.close()
    wait_until(lambda: engine_is_idle(own), 15, "engine that stopped")


def test_a_full_queue_is_503_and_says_when_to_come_back(own: Stack, key: str) -> None:
    waiting = [_sent(own, key, long_request() | {"seed": seed}) for seed in range(3)]
    try:
        wait_until(lambda: own.engine.models()[0].queued == 1, 15, "full queue")
        with own.http(key) as client:
            response = client.post(CHAT, json=SHORT)
    finally:
        for connection in waiting:
            connection.close()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "queue_full"
    assert int(response.headers["Retry-After"]) > 0
    wait_until(lambda: engine_is_idle(own), 15, "engine that stopped")


def test_one_key_can_not_take_all_threads(tmp_path: Path) -> None:
    small = Stack.start(tmp_path, web_threads=8, engine_queue=64)
    connections = []
    try:
        key = small.create_key()
        connections = [_sent(small, key, long_request() | {"seed": seed}) for seed in range(2)]
        wait_until(lambda: small.engine.models()[0].in_use == 2, 15, "two running requests")
        with small.http(key) as client:
            refused = client.post(CHAT, json=SHORT)
            assert client.get("/healthz").status_code == 200
        with small.http(small.create_key()) as other:
            assert other.post(CHAT, json=SHORT).status_code == 200
    finally:
        for connection in connections:
            connection.close()
        small.stop()
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.json()["error"]["type"] == "rate_limit_error"


def _sent(stack: Stack, key: str, body: dict[str, object]) -> socket.socket:
    """A connection over which a request was sent whole."""
    request = httpx.Request(
        "POST", f"{stack.url}{CHAT}", json=body, headers={"Authorization": f"Bearer {key}"}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    connection = socket.create_connection(("127.0.0.1", stack.settings.port), timeout=60)
    connection.sendall(f"POST {CHAT} HTTP/1.1\r\n{head}\r\n".encode() + request.content)
    return connection


def _received(connection: socket.socket) -> bytes:
    """Head and body of the answer."""
    connection.settimeout(60)
    data = b""
    while b"\r\n\r\n" not in data or b"}}" not in data:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    return data
