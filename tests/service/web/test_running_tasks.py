"""Running tasks from the pages: whole, streamed, stopped, hung up; and the receipts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.service.web.conftest import Visitor
from tests.support.stack import Stack
from tests.support.wait import wait_until

STREAM = {"Accept": "text/event-stream"}
LONG = "Mrs Helena Brandt was seen on 12 March 2026 and rang 0113 496 0822. " * 60


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    name, data = "", []
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            data.append(line[6:])
        elif not line and name:
            yield name, "\n".join(data)
            name, data = "", []


def _form(visitor: Visitor, task: str, text: str) -> dict[str, str]:
    return {"csrf": visitor.csrf(f"/tasks/{task}"), "input-text": text}


@pytest.mark.parametrize("task", ["deidentify", "extract", "triage"])
def test_each_task_runs_without_scripts_and_shows_answer_and_receipt(
    member: Visitor, task: str
) -> None:
    page = member.get(f"/tasks/{task}?example=1").text
    example = re.search(r"<textarea id=\"input-text\"[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert example is not None
    assert example[1].strip()
    answer = member.http.post(f"/tasks/{task}", data=_form(member, task, example[1]))
    assert answer.status_code == 200
    record = answer.headers["X-Record-Id"]
    for words in ("Download answer", "Model digest", "Leaf", "Checkpoint", record):
        assert words in answer.text
    if task != "deidentify":
        # A cut answer can not keep its schema; the page then says both.
        assert ("Schema check passed" in answer.text) != ("Cut short" in answer.text)


def test_the_text_stays_in_the_form_and_is_escaped(member: Visitor) -> None:
    text = '<b>Brandt</b> & "quotes"\n\n  indented'
    answer = member.http.post("/tasks/triage", data=_form(member, "triage", text))
    assert (
        "&lt;b&gt;Brandt&lt;/b&gt; &amp; &#34;quotes&#34;\n\n  indented</textarea>" in answer.text
    )


@pytest.mark.parametrize("text", ["", "   \n ", "x" * 6001])
def test_a_text_that_is_empty_or_too_long_is_named_beside_its_field(
    member: Visitor, text: str
) -> None:
    form = _form(member, "triage", text)
    page = member.http.post("/tasks/triage", data=form)
    assert page.status_code == 400
    assert "between 1 and 6,000 characters" in page.text
    assert 'aria-invalid="true"' in page.text
    fragment = member.http.post("/tasks/triage", data=form, headers=STREAM)
    assert fragment.status_code == 400
    assert "between 1 and 6,000 characters" in fragment.text
    assert "<html" not in fragment.text


def test_line_ends_of_a_form_do_not_count_twice(member: Visitor) -> None:
    text = ("x" * 59 + "\r\n") * 100
    answer = member.http.post("/tasks/triage", data=_form(member, "triage", text))
    assert answer.status_code == 200


def test_an_answer_streams_as_events_and_ends_with_its_receipt(member: Visitor) -> None:
    form = _form(member, "deidentify", "Mr Okafor rang on 4 May 2026.")
    with member.http.stream("POST", "/tasks/deidentify", data=form, headers=STREAM) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        events = list(_events(answer.iter_lines()))
    names = [name for name, _ in events]
    assert names[:2] == ["waiting", "began"]
    assert set(names[2:-1]) == {"delta"}
    assert names[-1] == "done"
    record = answer.headers["X-Record-Id"]
    assert events[0][1] == events[1][1] == record
    assert record in events[-1][1]
    receipt = member.get(f"/receipts/{record}.json").json()
    assert receipt["record_id"] == record
    assert receipt["outcome"] in {"stop", "length"}


def test_a_stop_ends_the_stream_with_a_receipt_that_says_so(member: Visitor) -> None:
    form = _form(member, "deidentify", LONG)
    with member.http.stream("POST", "/tasks/deidentify", data=form, headers=STREAM) as answer:
        record = answer.headers["X-Record-Id"]
        events = _events(answer.iter_lines())
        while next(events)[0] != "delta":
            pass
        stopped = member.http.post(f"/requests/{record}/stop", data={"csrf": form["csrf"]})
        assert stopped.status_code == 204
        rest = list(events)
    assert rest[-1][0] == "done"
    assert "Stopped" in rest[-1][1]
    assert member.get(f"/receipts/{record}.json").json()["outcome"] == "cancelled"


def test_only_its_owner_can_stop_a_request(member: Visitor, stranger: Visitor) -> None:
    form = _form(member, "deidentify", LONG)
    with member.http.stream("POST", "/tasks/deidentify", data=form, headers=STREAM) as answer:
        stop = f"/requests/{answer.headers['X-Record-Id']}/stop"
        events = _events(answer.iter_lines())
        while next(events)[0] != "delta":
            pass
        assert stranger.post(stop).status_code == 404
        assert next(events)[0] == "delta"
        assert member.http.post(stop, data={"csrf": form["csrf"]}).status_code == 204
        assert list(events)[-1][0] == "done"
    assert member.http.post(stop, data={"csrf": form["csrf"]}).status_code == 404


def test_a_tab_that_closes_frees_the_model(stack: Stack, member: Visitor) -> None:
    form = _form(member, "deidentify", LONG)
    with member.http.stream("POST", "/tasks/deidentify", data=form, headers=STREAM) as answer:
        events = _events(answer.iter_lines())
        while next(events)[0] != "delta":
            pass
        assert stack.engine.models()[0].in_use == 1
    wait_until(lambda: stack.engine.models()[0].in_use == 0, 20, "free sequence")


def test_a_receipt_is_its_owners_alone_and_holds_no_text(
    member: Visitor, stranger: Visitor
) -> None:
    text = "Please block the card of Helena Brandt at once."
    answer = member.http.post("/tasks/triage", data=_form(member, "triage", text))
    record = answer.headers["X-Record-Id"]
    file = member.http.get(f"/receipts/{record}.json")
    assert file.headers["Content-Disposition"] == f'attachment; filename="receipt-{record}.json"'
    assert "Brandt" not in file.text
    assert set(file.json()["answer"]) == {"event", "index", "leaf", "size", "root", "checkpoint"}
    assert record in member.get("/receipts").text
    assert file.json()["answer"]["root"] in member.get(f"/receipts/{record}").text
    assert stranger.get(f"/receipts/{record}").status_code == 404
    assert stranger.get(f"/receipts/{record}.json").status_code == 404


def test_the_receipts_leaf_is_in_the_log(stack: Stack, member: Visitor) -> None:
    answer = member.http.post("/tasks/triage", data=_form(member, "triage", "Reset my password."))
    place = member.get(f"/receipts/{answer.headers['X-Record-Id']}.json").json()["answer"]
    proof = stack.log.proof(place["index"])
    assert proof.startswith("c2sp.org/tlog-proof@v1")
    assert place["checkpoint"].splitlines()[1] == str(place["size"])


def test_an_answer_comes_back_as_a_file_without_scripts(member: Visitor) -> None:
    form = _form(member, "triage", "Reset my password.")
    page = member.http.post("/tasks/triage", data=form)
    record = page.headers["X-Record-Id"]
    given = '{"category":"access"}'
    saved = member.http.post(
        "/tasks/triage/answer", data={"csrf": form["csrf"], "answer": given, "record": record}
    )
    assert saved.headers["Content-Disposition"] == f'attachment; filename="triage-{record}.json"'
    assert saved.json() == json.loads(given)
    text = member.http.post(
        "/tasks/deidentify/answer",
        data={"csrf": form["csrf"], "answer": "a\r\nb", "record": '"; x="'},
    )
    assert text.text == "a\nb"
    assert text.headers["Content-Disposition"] == 'attachment; filename="deidentify-answer.txt"'


def test_an_unknown_task_is_404(member: Visitor) -> None:
    assert member.get("/tasks/none").status_code == 404


def test_the_demo_model_is_marked_on_the_pages_that_use_it(member: Visitor) -> None:
    for path in ("/", "/tasks/triage"):
        assert "Not for real records." in member.get(path).text


def test_no_prompt_reaches_the_app_database_or_an_output(stack: Stack, member: Visitor) -> None:
    marker = "zebra-crossing-9931"
    form = _form(member, "deidentify", f"Note about {marker}.")
    member.http.post("/tasks/deidentify", data=form)
    with stack.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    below = [*stack.settings.web.rglob("*"), *stack.settings.root.glob("*.log")]
    files = [path for path in below if path.is_file()]
    assert files
    assert not [file for file in files if marker.encode() in file.read_bytes()]


def test_a_stranger_can_not_run_a_task(visitor: Visitor) -> None:
    answer: httpx.Response = visitor.http.post(
        "/tasks/triage", data={"input-text": "x"}, headers=STREAM
    )
    assert answer.status_code == 401
