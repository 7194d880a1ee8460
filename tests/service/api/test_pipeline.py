"""The pipeline by itself, against the real engine and the real log."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from appliance.engine.client import EngineClient
from appliance.tasks import TaskLibrary
from appliance.tasks.pipeline import Pipeline
from appliance.tasks.work import Began, Delta, Failed, Finished, Kind, Source, Work
from audit.client import AuditClient
from tests.support.asking import SHORT, long_request
from tests.support.records import find, read_records
from tests.support.stack import Stack
from tests.support.wait import wait_until


def work(body: dict[str, object] = SHORT, kind: Kind = Kind.CHAT) -> Work:
    return Work(actor="cli:root", source=Source.CLI, body=body, kind=kind)


def test_events_come_in_order_and_the_text_is_the_sum_of_its_pieces(stack: Stack) -> None:
    events = list(Pipeline(stack.engine, stack.log).run(work()))
    began, *deltas, finished = events
    assert isinstance(began, Began)
    assert isinstance(finished, Finished)
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == finished.text
    assert finished.usage["completion_tokens"] > 0


def test_a_task_brings_its_checks_and_its_name_into_the_record(stack: Stack) -> None:
    task = TaskLibrary.load().get("triage")
    asked = Work.for_task(
        task, {"text": task.inputs[0].example}, actor="ada", source=Source.WEB, address="10.0.0.7"
    )
    finished = list(Pipeline(stack.engine, stack.log).run(asked))[-1]
    assert isinstance(finished, Finished)
    assert [check.name for check in finished.checks] == ["complete", "schema"]
    begin, end = find(read_records(stack.settings), asked.record_id)
    assert (begin.actor, begin.meta["source"], begin.meta["address"]) == ("ada", "web", "10.0.0.7")
    assert end.meta["task"] == "triage"
    assert end.event == finished.receipt.event


def test_both_records_are_about_the_subject_that_the_work_names(stack: Stack) -> None:
    asked = Work(actor="cli:root", source=Source.CLI, body=SHORT, subject="case 2026-118")
    list(Pipeline(stack.engine, stack.log).run(asked))
    begin, end = find(read_records(stack.settings), asked.record_id)
    assert (begin.subject, end.subject) == ("case 2026-118", "case 2026-118")


def test_closing_early_stops_the_engine_and_records_the_answer_so_far(stack: Stack) -> None:
    asked = work(long_request())
    with closing(Pipeline(stack.engine, stack.log).run(asked)) as events:
        shown = ""
        while len(shown) < 40:
            event = next(events)
            shown += event.text if isinstance(event, Delta) else ""
    _, end = find(read_records(stack.settings), asked.record_id)
    assert end.meta["outcome"] == "cancelled"
    assert end.content is not None
    assert end.content["text"] == shown
    wait_until(lambda: stack.engine.models()[0].in_use == 0, 10, "idle engine")


def test_ctrl_c_while_the_engine_is_awaited_is_a_cancellation(stack: Stack) -> None:
    asked = work(long_request())
    events = Pipeline(stack.engine, stack.log).run(asked)
    next(events)
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())
    _, end = find(read_records(stack.settings), asked.record_id)
    assert end.meta["outcome"] == "cancelled"


def test_closing_before_the_first_event_leaves_no_record(stack: Stack) -> None:
    before = stack.log.status().size
    Pipeline(stack.engine, stack.log).run(work()).close()
    assert stack.log.status().size == before


def test_a_stopped_request_finishes_with_what_there_is(stack: Stack) -> None:
    pipeline, asked = Pipeline(stack.engine, stack.log), work(long_request())
    finished = None
    for event in pipeline.run(asked):
        if isinstance(event, Delta) and event.text:
            pipeline.cancel(asked.record_id)
        finished = event
    assert isinstance(finished, Finished)
    assert (finished.finish_reason, finished.checks) == ("cancelled", ())
    _, end = find(read_records(stack.settings), asked.record_id)
    assert end.meta["outcome"] == "cancelled"
    assert not pipeline.cancel(asked.record_id)


def test_a_number_that_the_log_can_not_hold_is_recorded_as_text(stack: Stack) -> None:
    asked = work(SHORT | {"seed": 2**60, "n": [1]})
    (failed,) = Pipeline(stack.engine, stack.log).run(asked)
    assert isinstance(failed, Failed)
    assert failed.status == 400
    begin, end = find(read_records(stack.settings), asked.record_id)
    assert begin.meta["sampling"]["seed"] == str(2**60)
    assert begin.meta["sampling"]["n"] == "list"
    assert end.meta["outcome"].startswith("error:")


def test_without_the_log_the_engine_hears_of_nothing(tmp_path: Path) -> None:
    # Neither socket is there: an attempt to reach the engine would be another error.
    pipeline = Pipeline(EngineClient(tmp_path / "e.sock"), AuditClient(tmp_path / "a.sock"))
    (failed,) = pipeline.run(work())
    assert isinstance(failed, Failed)
    assert (failed.status, failed.code) == (503, "log_unavailable")
    assert failed.retry_after
