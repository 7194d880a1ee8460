"""Error pages: the same look, a next step, and no traceback."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from appliance.web.access import public
from appliance.web.errors import problem_of


def test_an_unknown_address_has_a_page_with_a_next_step(app: Flask) -> None:
    answer = app.test_client().get("/nowhere")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert "What you can do" in answer.text


def test_a_wrong_method_says_which_are_right(app: Flask) -> None:
    answer = app.test_client().delete("/sign-in")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_body_beyond_the_limit_is_413(app: Flask) -> None:
    answer = app.test_client().post("/sign-in", data={"name": "x" * (3 << 20)})
    assert answer.status_code == 413
    assert "too much" in answer.text


def test_a_sign_in_form_of_another_site_is_refused(app: Flask) -> None:
    answer = app.test_client().post("/sign-in", data={"name": "a", "password": "b"})
    assert answer.status_code == 403
    assert "Reload the page" in answer.text


def test_a_browser_that_names_another_site_as_sender_is_refused(app: Flask) -> None:
    client = app.test_client()
    client.get("/sign-in")
    door = client.get_cookie("door")
    assert door is not None
    form = {"csrf": door.value, "name": "a", "password": "b"}
    answer = client.post("/sign-in", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_without_the_log_nobody_signs_in_and_the_page_says_why(app: Flask) -> None:
    client = app.test_client()
    client.get("/sign-in")
    door = client.get_cookie("door")
    assert door is not None
    answer = client.post("/sign-in", data={"csrf": door.value, "name": "a", "password": "b"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert "The log takes no records" in answer.text


def test_an_error_of_ours_shows_and_logs_nothing_of_what_was_typed(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @public
    def breaks() -> str:
        raise RuntimeError("Helena Brandt, MRN 4471902")

    app.add_url_rule("/breaks", "signin.breaks", breaks)
    with caplog.at_level(logging.DEBUG):
        answer = app.test_client().get("/breaks")
    assert answer.status_code == 500
    for text in (answer.text, caplog.text):
        assert "Brandt" not in text
        assert "Traceback" not in text
    assert "RuntimeError at" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 429, 500, 503])
def test_every_status_has_words_of_its_own(status: int) -> None:
    problem = problem_of(status)
    assert problem.status == status
    assert problem.title
    assert problem.next_step
    assert problem_of(418).title == problem_of(400).title
    assert problem_of(599).title == problem_of(500).title
