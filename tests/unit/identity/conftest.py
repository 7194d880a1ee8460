"""A real audit writer for all tests of identity, a fresh database and a clock for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.database import Database, open_database, upgrade
from appliance.identity import passwords
from audit.client import AuditClient
from tests.support.records import Record, read_records
from tests.support.stack import Stack


@dataclass
class Clock:
    """A clock that a test turns."""

    now: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, step: timedelta) -> None:
        self.now += step


@dataclass
class Log:
    """The log's client, and what was written since the test began."""

    client: AuditClient
    stack: Stack
    begin: int

    @property
    def size(self) -> int:
        """How many records the test has written."""
        return self.client.status().size - self.begin

    def records(self) -> list[Record]:
        """The records of the test, opened with the officers' keys."""
        return read_records(self.stack.settings)[self.begin :]

    def events(self) -> list[object]:
        """The `event` of each record of the test."""
        return [record.meta.get("event") for record in self.records()]


@pytest.fixture(scope="session")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.start(tmp_path_factory.mktemp("writer"), ("writer",))
    yield stack
    stack.stop()


@pytest.fixture
def log(writer: Stack) -> Log:
    return Log(writer.log, writer, writer.log.status().size)


@pytest.fixture
def no_log(tmp_path: Path) -> AuditClient:
    """The client of a writer that does not run."""
    return AuditClient(tmp_path / "audit.sock")


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with a 64th of its memory, where a test is about something else than the hash."""
    monkeypatch.setattr(passwords, "_MEMORY_KIB", 1024)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'app.db'}")
    upgrade(opened)
    yield opened
    opened.close()
