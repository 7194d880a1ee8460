"""Whoever is not listened to any more frees its sequence at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from tests.service.engine.conftest import Engine, chat
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.wait import wait_until

# Wide enough that an answer of a few thousand tokens takes some seconds.
SLOW = Shape(width=256, inner=640, layers=6, heads=4, vocabulary=512, context=8192)
LONG = 4000


@pytest.fixture(scope="module")
def slow(make_folder: Callable[[], object]) -> object:
    engine = Engine(make_folder(), ("--threads=1", "--sequences=2", "--queue=4"))  # type: ignore[arg-type]
    weights = engine.models / "tiny.gguf"
    write_manifest(engine.models, "tiny", write_tiny_gguf(weights, SLOW), context=8192)
    try:
        engine.start()
        engine.wait_for("tiny", "ready")
        yield engine
    finally:
        engine.stop()


def idle(engine: Engine) -> Callable[[], bool]:
    return lambda: engine.status("tiny").in_use == 0


def test_closing_a_stream_frees_its_sequence(slow: Engine) -> None:
    stream = slow.client().stream_chat(chat(max_tokens=LONG))
    next(stream)
    assert slow.status("tiny").in_use == 1
    stream.close()
    wait_until(idle(slow), 2, "free sequence")


def test_dropping_the_connection_of_a_whole_answer_frees_its_sequence(slow: Engine) -> None:
    with pytest.raises(EngineError) as caught:
        slow.client(timeout=0.5).chat(chat(max_tokens=LONG))
    assert caught.value.code == "engine_timeout"
    wait_until(idle(slow), 2, "free sequence")


def test_hanging_up_in_the_queue_leaves_the_queue(slow: Engine) -> None:
    running = slow.client().stream_chat(chat(max_tokens=LONG, n=2))
    next(running)
    with pytest.raises(EngineError):
        slow.client(timeout=0.5).chat(chat())
    wait_until(lambda: slow.status("tiny").queued == 0, 2, "empty queue")
    running.close()
    wait_until(idle(slow), 2, "free sequences")


def test_cancel_ends_a_stream_normally(slow: Engine) -> None:
    client: EngineClient = slow.client()
    with client.stream_chat(chat(max_tokens=LONG), "to-be-cancelled") as stream:
        next(stream)
        assert client.cancel("to-be-cancelled")
        last = list(stream)[-1]
    assert last.finish_reason == "cancelled"
    wait_until(idle(slow), 2, "free sequence")
    assert not client.cancel("to-be-cancelled")


def test_cancel_ends_a_whole_answer_with_what_there_is(slow: Engine) -> None:
    client = slow.client()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.chat, chat(max_tokens=LONG), "whole")
        wait_until(lambda: slow.status("tiny").in_use == 1, 5, "running request")
        assert client.cancel("whole")
        assert answer.result(10).finish_reason == "cancelled"


def test_cancel_of_an_unknown_request_is_no_error(slow: Engine) -> None:
    assert not slow.client().cancel("nobody/../else")


def test_two_live_requests_can_not_have_one_id(slow: Engine) -> None:
    client = slow.client()
    with client.stream_chat(chat(max_tokens=LONG), "twin") as stream:
        next(stream)
        with pytest.raises(EngineError) as caught:
            client.chat(chat(), "twin")
        assert caught.value.status == 400


def test_a_client_that_reads_slowly_stalls_nobody(slow: Engine) -> None:
    client = slow.client()
    with client.stream_chat(chat(max_tokens=LONG)) as silent:
        next(silent)
        assert client.chat(chat()).usage["completion_tokens"] == 8
