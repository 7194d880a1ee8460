"""Requests to open contents in the app database: whose they are, and how long they stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from appliance.database import Database, open_database, upgrade
from appliance.database.tables import AccountRow
from appliance.web.log.openings import KEEP, Asked, OpeningRow, Openings

ASKED = Asked("compliance", "age1abc", [4, 7], {"epoch": 0, "sealed": "c2VhbGVk"})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'app.db'}")
    upgrade(database)
    now = datetime.now(UTC)
    with database.write() as session:
        for name in ("ada", "ben"):
            session.add(
                AccountRow(
                    name=name, password_hash="x", must_change=False, is_user=False,
                    is_operator=False, is_officer=True, is_admin=False, created_at=now,
                    password_at=now,
                )
            )  # fmt: skip
    yield database
    database.close()


@pytest.fixture
def openings(database: Database) -> Openings:
    openings = Openings(database)
    openings.ask("one", 1, ASKED)
    return openings


def test_a_request_says_who_asked_for_what_and_waits(openings: Openings) -> None:
    (found,) = openings.latest()
    assert (found.id, found.by, found.account_id) == ("one", "ada", 1)
    assert (found.asked, found.state, found.answer) == (ASKED, "waiting", None)
    assert openings.get("one") == found
    assert openings.get("two") is None


@pytest.mark.parametrize(("answer", "state"), [("YWdl", "granted"), (None, "refused")])
def test_a_request_is_decided_once(openings: Openings, answer: str | None, state: str) -> None:
    assert openings.decide("one", "ben", answer)
    assert not openings.decide("one", "cai", "another")
    found = openings.get("one")
    assert found is not None
    assert (found.state, found.decided_by, found.answer) == (state, "ben", answer)
    assert not openings.decide("two", "ben", answer)


def test_only_its_owner_withdraws_a_request(openings: Openings) -> None:
    openings.withdraw("one", 2)
    assert openings.get("one") is not None
    openings.withdraw("one", 1)
    assert openings.latest() == []


def test_an_old_request_is_not_shown_and_goes_with_the_next(
    database: Database, openings: Openings
) -> None:
    with database.write() as session:
        session.execute(update(OpeningRow).values(created_at=datetime.now(UTC) - KEEP))
    assert openings.latest() == []
    assert openings.get("one") is None
    openings.ask("two", 2, ASKED)
    with database.read() as session:
        assert [row.id for row in session.query(OpeningRow)] == ["two"]
