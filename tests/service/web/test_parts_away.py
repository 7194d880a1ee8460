"""What the pages say while the engine or the log is away."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.service.web.conftest import Visitor
from tests.support.stack import Credentials, Stack

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.start(tmp_path_factory.mktemp("parts"))
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def who(own_stack: Stack) -> Credentials:
    return own_stack.create_user("staff", "user", "operator")


@pytest.fixture
def staff(own_stack: Stack, who: Credentials) -> Iterator[Visitor]:
    with own_stack.http() as http:
        visitor = Visitor(http)
        visitor.sign_in(who)
        yield visitor


def test_without_the_engine_the_pages_say_so_and_come_back(
    own_stack: Stack, staff: Visitor
) -> None:
    form = {"csrf": staff.csrf("/tasks/triage"), "input-text": "Reset my password."}
    own_stack.kill("engine", signal.SIGTERM)
    assert "Engine is down" in staff.get("/").text
    assert "does not answer" in staff.get("/models").text
    assert "Does not answer" in staff.get("/system").text
    page = staff.http.post("/tasks/triage", data=form)
    assert "The model gave no answer" in page.text
    assert "Record" in page.text
    own_stack.restart("engine")
    assert "Download answer" in staff.http.post("/tasks/triage", data=form).text


def test_without_the_log_nothing_runs_and_the_reason_is_shown(
    own_stack: Stack, staff: Visitor
) -> None:
    form = {"csrf": staff.csrf("/tasks/triage"), "input-text": "Reset my password."}
    own_stack.kill("writer")
    assert "Not recording" in staff.get("/").text
    page = staff.http.post("/tasks/triage", data=form)
    assert "The log takes no records" in page.text
    assert "Download answer" not in page.text
    with staff.http.stream("POST", "/tasks/triage", data=form, headers=STREAM) as answer:
        text = answer.read().decode()
    assert "event: problem" in text
    assert "The log takes no records" in text
    refused = staff.http.post("/keys", data={"csrf": form["csrf"], "name": "none"})
    assert refused.status_code == 503
    own_stack.restart("writer")
    assert "Download answer" in staff.http.post("/tasks/triage", data=form).text


def test_a_person_can_sign_out_while_the_log_is_away(own_stack: Stack, staff: Visitor) -> None:
    csrf = staff.csrf("/account")
    own_stack.kill("writer")
    answer = staff.http.post("/sign-out", data={"csrf": csrf})
    assert answer.status_code == 303
    own_stack.restart("writer")
    assert staff.get("/").url.path == "/sign-in"
