"""Signing in and out, the lock-out, the first password, the sessions."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from tests.service.web.conftest import Visitor
from tests.support.stack import Credentials, Stack

Person = Callable[..., Credentials]
NEW_PASSWORD = "seven quiet lanterns"


def test_who_signs_in_lands_on_the_tasks_and_who_signs_out_is_out(
    visitor: Visitor, person: Person
) -> None:
    page = visitor.sign_in(person())
    assert page.url.path == "/"
    assert "De-identify a note" in page.text
    out = visitor.post("/sign-out")
    assert "You have signed out" in out.text
    assert visitor.get("/receipts").url.path == "/sign-in"


def test_a_wrong_name_reads_the_same_as_a_wrong_password(visitor: Visitor, person: Person) -> None:
    who = person()
    wrong = visitor.sign_in(Credentials(who.name, "not the password"))
    unknown = visitor.sign_in(Credentials("nobody-here", "not the password"))
    assert wrong.status_code == unknown.status_code == 401
    sentence = "Name or password is wrong"
    assert sentence in wrong.text
    assert sentence in unknown.text


def test_after_five_wrong_passwords_the_page_says_how_long_to_wait(
    visitor: Visitor, person: Person
) -> None:
    who = person()
    wrong = Credentials(who.name, "not the password")
    answers = [visitor.sign_in(wrong) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 30
    assert "Try again in" in answers[-1].text
    assert visitor.sign_in(who).status_code == 429


def test_a_one_time_password_opens_nothing_until_it_is_changed(
    stack: Stack, visitor: Visitor
) -> None:
    first = stack.accounts.create("newcomer", ["user"], actor="tests")
    page = visitor.sign_in(Credentials("newcomer", first))
    assert page.url.path == "/password"
    assert visitor.get("/").url.path == "/password"
    assert visitor.get("/tasks/triage").url.path == "/password"
    fields = {"current": first, "new": NEW_PASSWORD, "again": NEW_PASSWORD}
    changed = visitor.post("/password", fields, page="/password")
    assert changed.url.path == "/"
    assert "Your password was changed" in changed.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"current": "wrong", "new": NEW_PASSWORD, "again": NEW_PASSWORD}, "not your current"),
        ({"new": NEW_PASSWORD, "again": "another thing here"}, "passwords differ"),
        ({"new": "short", "again": "short"}, "at least 12 characters"),
    ],
)
def test_a_password_change_names_the_field_that_is_wrong(
    visitor: Visitor, person: Person, fields: dict[str, str], sentence: str
) -> None:
    who = person()
    visitor.sign_in(who)
    answer = visitor.post("/account/password", {"current": who.password, **fields})
    assert answer.status_code == 400
    assert sentence in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(
    stack: Stack, visitor: Visitor, person: Person
) -> None:
    who = person()
    visitor.sign_in(who)
    with stack.http() as http:
        other = Visitor(http)
        other.sign_in(who)
        fields = {"current": who.password, "new": NEW_PASSWORD, "again": NEW_PASSWORD}
        assert "was changed" in visitor.post("/account/password", fields).text
        assert other.get("/account").url.path == "/sign-in"


def test_all_other_sessions_can_be_ended_at_once(
    stack: Stack, visitor: Visitor, person: Person
) -> None:
    who = person()
    visitor.sign_in(who)
    with stack.http() as http:
        other = Visitor(http)
        other.sign_in(who)
        page = visitor.get("/account").text
        assert page.count('name="session"') == 1
        answer = visitor.post("/account/sessions/end")
        assert "other sessions of yours have ended" in answer.text
        assert other.get("/account").url.path == "/sign-in"


def test_one_session_can_be_ended_and_only_an_own_one(
    stack: Stack, visitor: Visitor, person: Person, stranger: Visitor
) -> None:
    who = person()
    visitor.sign_in(who)
    with stack.http() as http:
        other = Visitor(http)
        other.sign_in(who)
        found = re.search(r'name="session" value="([0-9a-f]{64})"', visitor.get("/account").text)
        assert found is not None
        stranger.post("/account/sessions/end", {"session": found[1]})
        visitor.post("/account/sessions/end", {"session": "no hexadecimal"})
        assert other.get("/account").url.path == "/account"
        answer = visitor.post("/account/sessions/end", {"session": found[1]})
        assert "That session has ended" in answer.text
        assert other.get("/account").url.path == "/sign-in"
    assert visitor.get("/account").url.path == "/account"


def test_the_session_cookie_is_new_after_each_sign_in(visitor: Visitor, person: Person) -> None:
    who = person()
    visitor.sign_in(who)
    before = visitor.http.cookies["cloister"]
    visitor.post("/sign-out")
    visitor.sign_in(who)
    assert visitor.http.cookies["cloister"] != before


def test_a_form_without_its_secret_changes_nothing(member: Visitor) -> None:
    for fields in ({}, {"csrf": "0" * 64}):
        answer = member.http.post("/sign-out", data=fields)
        assert answer.status_code == 403
        assert "This form has expired" in answer.text
    assert member.get("/account").url.path == "/account"


def test_the_secret_of_another_session_does_not_work(member: Visitor, stranger: Visitor) -> None:
    answer = member.http.post("/sign-out", data={"csrf": stranger.csrf("/account")})
    assert answer.status_code == 403


def test_after_the_sign_in_the_page_opens_that_was_asked_for(
    visitor: Visitor, person: Person
) -> None:
    asked = visitor.get("/receipts")
    assert asked.url.path == "/sign-in"
    assert 'name="next" value="/receipts"' in asked.text
    who = person()
    fields = {"name": who.name, "password": who.password, "next": "//evil.example/"}
    assert visitor.post("/sign-in", fields, page="/sign-in").url.path == "/"


def test_nothing_of_a_password_stands_in_the_output_of_the_web_process(
    stack: Stack, visitor: Visitor, person: Person
) -> None:
    who = person()
    visitor.sign_in(who)
    assert who.password not in stack.output("web")


def test_an_unreachable_page_answers_in_the_same_look(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/no/such/page")
    assert answer.status_code == 404
    assert "style.css" in answer.text
