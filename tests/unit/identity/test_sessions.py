"""Sessions of browsers: what opens them, what ends them, what is kept of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from appliance.database import Database
from appliance.database.tables import SessionRow
from appliance.identity import Account, Accounts, Sessions
from audit.client import AuditClient
from audit.errors import LogUnavailableError
from tests.unit.identity.conftest import Clock, Log

pytestmark = pytest.mark.usefixtures("cheap_hashes")

IDLE, ABSOLUTE = timedelta(minutes=30), timedelta(hours=12)
HERE = "10.0.0.1"


@pytest.fixture
def account(database: Database, log: Log, clock: Clock) -> Account:
    accounts = Accounts(database, log.client, clock)
    accounts.create("ada", ["user"], actor="cli:root")
    return accounts.get("ada")


@pytest.fixture
def sessions(database: Database, log: Log, clock: Clock) -> Sessions:
    return Sessions(database, log.client, IDLE, ABSOLUTE, clock)


def test_the_database_holds_neither_token_nor_form_secret(
    sessions: Sessions, account: Account, database: Database
) -> None:
    session = sessions.open(account, HERE)
    with database.read() as reading:
        row = reading.scalars(select(SessionRow)).one()
    kept = repr(vars(row))
    assert session.token not in kept
    assert session.csrf not in kept
    assert session.token not in repr(session)


def test_a_session_is_found_by_its_token_only(sessions: Sessions, account: Account) -> None:
    session = sessions.open(account, HERE)
    found = sessions.check(session.token)
    assert found is not None
    assert (found.account.name, found.csrf) == ("ada", session.csrf)
    for wrong in (None, "", "x", session.token[:-1], session.token + "A", "\udce4"):
        assert sessions.check(wrong) is None


def test_form_secrets_differ_between_sessions(sessions: Sessions, account: Account) -> None:
    one, other = sessions.open(account, HERE), sessions.open(account, HERE)
    assert one.csrf_matches(one.csrf)
    assert not one.csrf_matches(other.csrf)
    assert not one.csrf_matches(None)
    assert not one.csrf_matches("ä")


def test_an_unused_session_ends(sessions: Sessions, account: Account, clock: Clock) -> None:
    session = sessions.open(account, HERE)
    for _ in range(3):
        clock.advance(IDLE - timedelta(seconds=1))
        assert sessions.check(session.token) is not None
    clock.advance(IDLE)
    assert sessions.check(session.token) is None


def test_what_a_page_asks_for_on_its_own_does_not_put_the_end_off(
    sessions: Sessions, account: Account, clock: Clock
) -> None:
    session = sessions.open(account, HERE)
    for _ in range(29):
        clock.advance(timedelta(minutes=1))
        assert sessions.check(session.token, used=False) is not None
    clock.advance(timedelta(minutes=1))
    assert sessions.check(session.token, used=False) is None
    assert sessions.check(session.token) is None


def test_a_used_session_ends_too(sessions: Sessions, account: Account, clock: Clock) -> None:
    session = sessions.open(account, HERE)
    for _ in range(int(ABSOLUTE / timedelta(minutes=20)) - 1):
        clock.advance(timedelta(minutes=20))
        assert sessions.check(session.token) is not None
    clock.advance(timedelta(minutes=20))
    assert sessions.check(session.token) is None


def test_signing_in_ends_the_session_that_the_browser_brought(
    sessions: Sessions, account: Account
) -> None:
    before = sessions.open(account, HERE)
    after = sessions.open(account, HERE, previous=before.token)
    assert sessions.check(before.token) is None
    assert sessions.check(after.token) is not None


def test_a_disabled_account_has_no_session(
    sessions: Sessions, account: Account, database: Database, log: Log
) -> None:
    session = sessions.open(account, HERE)
    accounts = Accounts(database, log.client)
    accounts.disable("ada", actor="bob")
    accounts.enable("ada", actor="bob")
    assert sessions.check(session.token) is None


def test_signing_out_ends_one_session_and_is_recorded(
    sessions: Sessions, account: Account, log: Log
) -> None:
    one, other = sessions.open(account, HERE), sessions.open(account, HERE)
    sessions.close(one)
    assert sessions.check(one.token) is None
    assert sessions.check(other.token) is not None
    assert log.events()[-1] == "identity:session:closed"


def test_all_sessions_of_an_account_can_be_ended(sessions: Sessions, account: Account) -> None:
    opened = [sessions.open(account, HERE) for _ in range(3)]
    assert sessions.revoke_all(account, actor="bob") == 3
    assert [sessions.check(session.token) for session in opened] == [None] * 3


def test_signing_out_works_without_the_log(
    sessions: Sessions, account: Account, database: Database, no_log: AuditClient, clock: Clock
) -> None:
    session = sessions.open(account, HERE)
    with pytest.raises(LogUnavailableError):
        Sessions(database, no_log, IDLE, ABSOLUTE, clock).close(session)
    assert sessions.check(session.token) is None


def test_ended_sessions_are_swept_away(
    sessions: Sessions, account: Account, database: Database, clock: Clock
) -> None:
    for _ in range(3):
        sessions.open(account, HERE)
    clock.advance(IDLE)
    sessions.open(account, HERE)
    with database.read() as reading:
        assert reading.scalar(select(func.count()).select_from(SessionRow)) == 1
