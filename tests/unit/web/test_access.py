"""Who may open which page: the whole list, so that a new page is a decision."""

from __future__ import annotations

import pytest
from flask import Flask

from appliance.identity import Role
from appliance.web.access import GUARDED_BY_THEMSELVES, UnguardedViewError, check_all, rule_of

OPERATE = frozenset({Role.OPERATOR, Role.ADMIN})
ROLES = {
    "models.show": OPERATE,
    "models.now": OPERATE,
    "keys.show": OPERATE,
    "keys.create": OPERATE,
    "keys.revoke": OPERATE,
    "system.show": OPERATE,
    "log.show": frozenset({Role.OFFICER}),
    **{
        f"people.{view}": frozenset({Role.ADMIN})
        for view in ("show", "create", "person", "set_roles", "reset", "disable", "enable")
    },
    **{
        f"records.{view}": frozenset({Role.OFFICER})
        for view in ("show", "open_log", "find", "look")
    },
    **{
        f"outside.{view}": frozenset({Role.OFFICER})
        for view in ("show", "take", "checkpoint", "query", "sheet", "code")
    },
    **{
        f"taking.{view}": frozenset({Role.OFFICER})
        for view in ("show", "now", "begin", "resume", "delete", "fetch")
    },
    **{
        f"together.{view}": frozenset({Role.OFFICER})
        for view in ("show", "list_all", "ask", "read", "decide", "contents", "withdraw")
    },
}
PUBLIC = {"static", "signin.show", "signin.sign_in"}
WITH_ONE_TIME_PASSWORD = {"signin.first_password_form", "signin.first_password", "signin.sign_out"}
BACKGROUND = {"models.now", "taking.now"}
"""Asked for by an open page on its own: no use of the session, and no way to the sign-in."""
ANY_ACCOUNT = {
    "home.show",
    "task.show",
    "task.run",
    "task.save",
    "task.stop",
    "receipts.latest",
    "receipts.show",
    "receipts.download",
    "account.show",
    "account.change_password",
    "account.end_session",
}


def _pages(app: Flask) -> set[str]:
    own = GUARDED_BY_THEMSELVES
    return {name for name in app.view_functions if name.partition(".")[0] not in own}


def test_the_list_of_pages_and_who_may_open_them_is_exactly_this(app: Flask) -> None:
    rules = {name: rule_of(app, name) for name in _pages(app)}
    assert {name for name, rule in rules.items() if rule.public} == PUBLIC
    assert {n for n, rule in rules.items() if rule.with_old_password} == WITH_ONE_TIME_PASSWORD
    assert {name for name, rule in rules.items() if rule.background} == BACKGROUND
    assert {name: rule.roles for name, rule in rules.items() if rule.roles} == ROLES
    assert set(rules) == PUBLIC | WITH_ONE_TIME_PASSWORD | ROLES.keys() | ANY_ACCOUNT


def test_blueprints_that_guard_themselves_are_exactly_api_and_health(app: Flask) -> None:
    assert {"api", "health"} == GUARDED_BY_THEMSELVES
    assert {"api", "health"} <= set(app.blueprints)


def test_a_view_without_a_rule_stops_the_start(app: Flask) -> None:
    app.view_functions["forgotten"] = lambda: "open to all"
    with pytest.raises(UnguardedViewError, match="forgotten"):
        check_all(app)


def test_every_page_sends_a_stranger_to_the_sign_in(app: Flask) -> None:
    client = app.test_client()
    rules = [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint in _pages(app) - PUBLIC - BACKGROUND
    ]
    assert rules
    for rule in rules:
        path = (
            rule.rule.replace("<name>", "triage")
            .replace("<record_id>", "x")
            .replace("<int:size>", "7")
        )
        for method in rule.methods & {"GET", "POST"}:
            answer = client.open(path, method=method)
            assert answer.status_code == 303, (method, path)
            assert answer.headers["Location"].startswith("/sign-in")


def test_a_stranger_comes_back_to_the_page_after_the_sign_in(app: Flask) -> None:
    answer = app.test_client().get("/tasks/triage?example=1")
    assert answer.headers["Location"] == "/sign-in?next=%2Ftasks%2Ftriage"


def test_a_script_without_a_session_gets_a_401_with_what_to_do(app: Flask) -> None:
    answer = app.test_client().post("/tasks/triage", headers={"Accept": "text/event-stream"})
    assert answer.status_code == 401
    assert "signed out" in answer.text
    assert "<html" not in answer.text


def test_what_a_page_asks_for_on_its_own_is_a_401_without_a_session(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint in BACKGROUND]
    assert [app.test_client().get(rule.rule).status_code for rule in rules] == [401, 401]
