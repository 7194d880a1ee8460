"""The live part of the page Models: its figures, who may ask, and what asking does not do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from appliance.cli.main import cli
from appliance.database.tables import AccountRow, SessionRow
from tests.service.web.conftest import Visitor
from tests.support.asking import SHORT
from tests.support.stack import Credentials, Stack
from tests.support.streaming import streaming
from tests.support.wait import wait_until

Person = Callable[..., Credentials]
NOW = "/models/now"


@pytest.fixture
def operator(stack: Stack, visitor: Visitor, person: Person) -> Visitor:
    visitor.sign_in(person("operator"))
    return visitor


def _cell(page: str, label: str) -> str:
    """A figure; empty where the page has none, since the engine or its runner was too slow."""
    found = re.search(rf'<td data-label="{label}">(.*?)</td>', page, re.DOTALL)
    return "" if found is None else re.sub(r"<[^>]*>", "", found[1]).strip()


def _page(visitor: Visitor, wanted: str) -> str:
    """The figures, once as many sequences are in use as wanted."""

    def page() -> str | None:
        text = visitor.http.get(NOW).text
        return text if _cell(text, "Sequences") == wanted else None

    return wait_until(page, 30, f"page with {wanted} sequences") or ""


def _ps(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("CLOISTER_STATE", str(stack.settings.root))
    done = CliRunner().invoke(cli, ["model", "ps", "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.output)
    return dict(row)


def test_a_running_stream_shows_as_a_sequence_and_tokens_per_second(
    stack: Stack, operator: Visitor
) -> None:
    def moves() -> bool:
        page = _page(operator, "1 of 16")
        return float(_cell(page, "Tokens per second")) > 0 and "<polyline" in page

    with streaming(stack):
        wait_until(moves, 30, "tokens per second")
    _page(operator, "0 of 16")


def test_the_page_shows_what_the_command_prints(
    stack: Stack, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        stack.engine.chat(SHORT)
    page = _page(operator, "0 of 16")
    row = _ps(stack, monkeypatch)
    assert row["requests"] >= 2
    assert _cell(page, "Prefix hits") == f"{row['prefix_hits']} of {row['requests']}"
    assert _cell(page, "Sequences") == f"{row['in_use']} of {row['sequences']}"
    assert _cell(page, "Waiting") == str(row["queued"])
    assert _cell(page, "Processor") == row["processor"]
    assert 0 < row["held_bytes"] < row["limit_bytes"]
    assert f"demo {row['held_bytes'] / 2**20:.0f} MiB" in page
    assert "that this machine can give" in page
    wait_until(lambda: len(_ps(stack, monkeypatch)["pace"]) > 1, 20, "history of two seconds")


def test_the_page_without_scripts_has_the_same_figures_and_a_link_to_read_them_again(
    operator: Visitor,
) -> None:
    _page(operator, "0 of 16")
    page = operator.get("/models").text
    assert _cell(page, "Sequences") == "0 of 16"
    assert 'href="/models">Read again</a>' in page


def test_asking_for_figures_does_not_keep_a_session_alive(
    stack: Stack, visitor: Visitor, person: Person
) -> None:
    who = person("operator")
    visitor.sign_in(who)
    idle = timedelta(minutes=stack.settings.session_idle_minutes)
    stack.leave_alone(who, idle - timedelta(minutes=2))
    assert visitor.http.get(NOW).status_code == 200
    assert _unused(stack, who) > timedelta(minutes=1)
    assert visitor.http.get("/models").status_code == 200
    assert _unused(stack, who) < timedelta(minutes=1)
    stack.leave_alone(who, idle)
    answer = visitor.http.get(NOW)
    assert answer.status_code == 401
    assert "demo" not in answer.text


def _unused(stack: Stack, who: Credentials) -> timedelta:
    """How long nobody has used the account's session, by what the database says."""
    wanted = (
        select(SessionRow.seen_at)
        .join(AccountRow, AccountRow.id == SessionRow.account_id)
        .where(AccountRow.name == who.name)
    )
    with stack.database.read() as session:
        return datetime.now(UTC) - session.scalars(wanted).one()


def test_figures_are_for_operators_and_admins_alone(
    stack: Stack, visitor: Visitor, person: Person
) -> None:
    assert visitor.http.get(NOW).status_code == 401
    for role, status in (("user", 403), ("officer", 403), ("operator", 200), ("admin", 200)):
        visitor.http.cookies.clear()
        visitor.sign_in(person(role))
        assert visitor.http.get(NOW).status_code == status, role


def test_the_figures_hold_no_text_of_requests(stack: Stack, operator: Visitor) -> None:
    word = "Zanzibar"
    stack.engine.chat({**SHORT, "messages": [{"role": "user", "content": word}]})
    assert word not in operator.http.get(NOW).text
    assert word not in json.dumps([dict(model.body) for model in stack.engine.models()])
