"""How long who guesses has to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from appliance.database import Database
from appliance.database.tables import AttemptRow
from appliance.identity.errors import LockedOutError
from appliance.identity.lockout import (
    FIRST_DELAY,
    FREE_FAILURES,
    LONGEST_DELAY,
    begin_attempt,
    delay_after,
    forgive,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def attempt(database: Database, name: str, source: str, now: datetime = NOW) -> None:
    with database.write() as session:
        begin_attempt(session, name, source, now)


@given(st.integers(0, 100_000))
def test_the_wait_never_shrinks_and_has_an_end(failures: int) -> None:
    assert delay_after(failures) <= delay_after(failures + 1) <= LONGEST_DELAY
    assert (delay_after(failures) == timedelta(0)) == (failures < FREE_FAILURES)


def test_the_fifth_failure_makes_the_next_try_wait(database: Database) -> None:
    for _ in range(FREE_FAILURES):
        attempt(database, "ada", "10.0.0.1")
    with pytest.raises(LockedOutError) as caught:
        attempt(database, "ada", "10.0.0.1")
    assert caught.value.retry_after == FIRST_DELAY.total_seconds()


def test_each_further_failure_doubles_the_wait(database: Database) -> None:
    for _ in range(FREE_FAILURES):
        attempt(database, "ada", "10.0.0.1")
    later = NOW + FIRST_DELAY
    attempt(database, "ada", "10.0.0.1", later)
    with pytest.raises(LockedOutError) as caught:
        attempt(database, "ada", "10.0.0.1", later)
    assert caught.value.retry_after == 2 * FIRST_DELAY.total_seconds()


def test_tries_during_the_wait_do_not_make_it_longer(database: Database) -> None:
    for _ in range(FREE_FAILURES):
        attempt(database, "ada", "10.0.0.1")
    for _ in range(20):
        with pytest.raises(LockedOutError):
            attempt(database, "ada", "10.0.0.1", NOW + FIRST_DELAY / 2)
    attempt(database, "ada", "10.0.0.1", NOW + FIRST_DELAY)


def test_one_source_can_not_lock_the_owner_out_who_comes_from_another(database: Database) -> None:
    for _ in range(FREE_FAILURES):
        attempt(database, "ada", "10.0.0.66")
    attempt(database, "ada", "10.0.0.1")
    attempt(database, "bob", "10.0.0.66")


def test_a_day_without_failure_forgets_them(database: Database) -> None:
    for _ in range(FREE_FAILURES - 1):
        attempt(database, "ada", "10.0.0.1")
    next_day = NOW + timedelta(days=1, seconds=1)
    for _ in range(FREE_FAILURES):
        attempt(database, "ada", "10.0.0.1", next_day)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AttemptRow)) == 1


def test_forgiving_a_name_lets_it_in_from_everywhere(database: Database) -> None:
    for source in ("10.0.0.1", "10.0.0.2"):
        for _ in range(FREE_FAILURES):
            attempt(database, "ada", source)
    with database.write() as session:
        forgive(session, "ada")
    attempt(database, "ada", "10.0.0.1")
    attempt(database, "ada", "10.0.0.2")


def test_what_was_typed_as_a_name_is_not_kept(database: Database) -> None:
    attempt(database, "my secret password", "10.0.0.1")
    with database.read() as session:
        row = session.scalars(select(AttemptRow)).one()
    assert b"secret" not in row.name_hash
