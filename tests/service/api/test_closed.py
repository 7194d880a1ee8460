"""Grades of the log: what may be shown when, and what happens when its disk fills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.host.doctor import examine
from appliance.tasks.pipeline import Pipeline
from appliance.tasks.work import Delta, Failed, Finished, Source, Work
from tests.support.asking import SHORT, events, long_request
from tests.support.records import Record, read_records
from tests.support.stack import Stack

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.start(tmp_path_factory.mktemp("strict"), audit_grade="strict")
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A disk of which one part in a hundred is in use counts as full here."""
    folder = tmp_path_factory.mktemp("full")
    stack = Stack.start(folder, audit_warn_percent=1, audit_stop_percent=1)
    yield stack
    stack.stop()


def of_answer(stack: Stack, record_id: str) -> tuple[str, list[Record]]:
    """The text of all recorded pieces, and the records that are no piece."""
    records = [one for one in read_records(stack.settings) if one.meta.get("begin") == record_id]
    parts = [one for one in records if "part" in one.meta]
    assert [one.meta["part"] for one in parts] == list(range(1, len(parts) + 1))
    assert {one.meta["outcome"] for one in parts} <= {"part"}
    texts = [text for one in parts for _, text in (one.content or {})["pieces"]]
    return "".join(texts), [one for one in records if "part" not in one.meta]


def test_in_strict_each_piece_is_recorded_before_it_is_shown(strict: Stack) -> None:
    work = Work(actor="cli:root", source=Source.CLI, body=long_request(120), subject="case 7")
    shown, last = "", None
    for event in Pipeline(strict.engine, strict.log, "strict").run(work):
        if isinstance(event, Delta) and event.text:
            shown += event.text
            if len(shown) < 60:
                assert of_answer(strict, work.record_id)[0].startswith(shown)
        last = event
    assert isinstance(last, Finished)
    text, (end,) = of_answer(strict, work.record_id)
    assert text == shown == last.text
    assert end.meta["outcome"] == "answered"
    found = read_records(strict.settings)
    assert {one.subject for one in found if one.meta.get("begin") == work.record_id} == {"case 7"}


def test_in_strict_a_writer_that_dies_leaves_nothing_shown_unrecorded(strict: Stack) -> None:
    key = strict.create_key()
    body = long_request(400) | {"stream": True}
    try:
        with strict.http(key) as client, client.stream("POST", CHAT, json=body) as response:
            record_id = response.headers["X-Record-Id"]
            lines = response.iter_lines()
            first = next(lines)
            strict.kill("writer")
            shown = events([first, *lines])
    finally:
        strict.restart("writer")
    assert shown[-1]["error"]["code"] == "log_unavailable"
    choices = [choice for event in shown[:-1] for choice in event.get("choices", ())]
    seen = "".join(choice["delta"].get("content") or "" for choice in choices)
    text, ends = of_answer(strict, record_id)
    assert text.startswith(seen)
    assert ends == []
    (told,) = [one for one in read_records(strict.settings) if record_id in str(one.meta)][-1:]
    assert told.meta["fault"] == "unanswered"


def test_a_full_disk_ends_prompts_with_the_next_step_and_changes_go_on(full: Stack) -> None:
    key = full.create_key()
    with full.http(key) as client:
        response = client.post(CHAT, json=SHORT)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        error = response.json()["error"]
        assert error["code"] == "log_full"
        assert "cloister doctor" in error["message"]
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "Make room" in ready.json()["parts"]["log"]["detail"]
        assert client.get("/healthz").status_code == 200
        metrics = client.get("/metrics").text
    assert 'cloister_log_health{state="no_room"} 1.0' in metrics
    assert 'cloister_log_health{state="ok"} 0.0' in metrics
    assert 'cloister_log_grade{grade="default"} 1.0' in metrics
    found = {one.check: one for one in examine(full.settings)}
    assert (found["log"].state, found["room"].state) == ("bad", "warn")
    assert found["log"].detail == "The log takes no prompts."
    assert "Make room" in found["log"].remedy
    assert any(one.meta.get("fault") == "no_room" for one in read_records(full.settings))


def test_the_pipeline_says_that_the_disk_is_full(full: Stack) -> None:
    work = Work(actor="cli:root", source=Source.CLI, body=SHORT)
    (failed,) = Pipeline(full.engine, full.log).run(work)
    assert isinstance(failed, Failed)
    assert (failed.status, failed.code) == (503, "log_full")
