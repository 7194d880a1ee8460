"""Opening the app database, its transactions and its migrations."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import IntegrityError, StatementError

import appliance.web.log.openings
import appliance.web.receipts  # noqa: F401 - these tables belong to the schema
from appliance.database import Database, SchemaTooNewError, open_database, upgrade
from appliance.database.tables import AccountRow, AttemptRow, Base, SessionRow

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'web' / 'app.db'}")
    upgrade(opened)
    yield opened
    opened.close()


def account(**change: Any) -> AccountRow:  # noqa: ANN401 - columns
    columns = {
        "name": "ada",
        "password_hash": "x",
        "must_change": False,
        "is_user": True,
        "is_operator": False,
        "is_officer": False,
        "is_admin": False,
        "created_at": NOW,
        "password_at": NOW,
    }
    return AccountRow(**(columns | change))


def test_migrations_make_exactly_the_declared_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    with database.write() as session:
        session.add(account())
    upgrade(database)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AccountRow)) == 1


def test_processes_that_start_together_upgrade_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    opened = [open_database(url) for _ in range(4)]
    errors: list[BaseException] = []

    def run(one: Database) -> None:
        try:
            upgrade(one)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for one in opened:
        one.close()
    assert errors == []


def test_a_database_of_a_newer_release_is_refused(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNewError, match="9999"):
        upgrade(database)


def test_the_file_is_for_its_owner_only(database: Database) -> None:
    file = Path(str(database.engine.url.database))
    for path in (file, *file.parent.glob("app.db-*")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_an_account_that_is_admin_and_officer_can_not_be_stored(database: Database) -> None:
    with pytest.raises(IntegrityError, match="admin_is_no_officer"), database.write() as session:
        session.add(account(is_admin=True, is_officer=True))


def test_an_accounts_sessions_go_with_it(database: Database) -> None:
    with database.write() as session:
        row = account()
        session.add(row)
        session.flush()
        session.add(
            SessionRow(
                token_hash=b"x" * 32,
                account_id=row.id,
                address="127.0.0.1",
                created_at=NOW,
                seen_at=NOW,
                expires_at=NOW,
            )
        )
    with database.write() as session:
        session.execute(delete(AccountRow))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(SessionRow)) == 0


def test_a_failed_block_leaves_nothing_behind(database: Database) -> None:
    def add_and_fail() -> None:
        with database.write() as session:
            session.add(account())
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AccountRow)) == 0


def test_instants_come_back_in_utc_and_need_a_zone(database: Database) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5)))
    with database.write() as session:
        session.add(account(created_at=there))
    with database.read() as session:
        assert session.scalars(select(AccountRow.created_at)).one() == NOW
    with pytest.raises(StatementError, match="time zone"), database.write() as session:
        session.add(account(name="bob", created_at=NOW.replace(tzinfo=None)))


def test_writers_that_read_first_wait_for_each_other(database: Database) -> None:
    with database.write() as session:
        session.add(AttemptRow(name_hash=b"n", source="s", failures=0, failed_at=NOW))

    def add_one() -> None:
        for _ in range(10):
            with database.write() as session:
                row = session.get_one(AttemptRow, (b"n", "s"))
                row.failures += 1

    threads = [threading.Thread(target=add_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.read() as session:
        assert session.get_one(AttemptRow, (b"n", "s")).failures == 60
