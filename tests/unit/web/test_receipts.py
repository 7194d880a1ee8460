"""Receipts in the app database: whose they are, what they hold, how long they stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from appliance.database import Database, open_database, upgrade
from appliance.database.tables import AccountRow
from appliance.web.receipts import KEEP, LogPlace, ReceiptRow, Receipts, TaskReceipt

PLACE = LogPlace("e", 7, "bGVhZg==", 9, "cm9vdA==", "origin\n9\ncm9vdA==\n\n— key sig\n")
RECEIPT = TaskReceipt(
    record_id="01a20660-0000-7000-8000-000000000000",
    appliance="ward-7",
    task="triage",
    task_version=1,
    model="triage-model",
    answered_by="demo",
    model_digest="ab" * 32,
    template_digest="cd" * 32,
    engine_build="build",
    seed=42,
    outcome="stop",
    ended_at="2026-11-23T02:44:27+00:00",
    answer=PLACE,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'app.db'}")
    upgrade(database)
    now = datetime.now(UTC)
    with database.write() as session:
        session.add_all(
            AccountRow(
                id=number,
                name=f"person{number}",
                password_hash="-",
                must_change=False,
                is_user=True,
                is_operator=False,
                is_officer=False,
                is_admin=False,
                created_at=now,
                password_at=now,
            )
            for number in (1, 2)
        )
    yield database
    database.close()


@pytest.fixture
def receipts(database: Database) -> Receipts:
    return Receipts(database)


def test_a_receipt_comes_back_as_it_went_in(receipts: Receipts) -> None:
    receipts.begin(RECEIPT.record_id, 1)
    receipts.finish(RECEIPT)
    assert receipts.get(RECEIPT.record_id, 1) == RECEIPT
    assert receipts.latest(1, 10) == [RECEIPT]


def test_a_request_that_has_not_ended_has_an_owner_and_no_receipt(receipts: Receipts) -> None:
    receipts.begin(RECEIPT.record_id, 1)
    assert receipts.owns(RECEIPT.record_id, 1)
    assert receipts.get(RECEIPT.record_id, 1) is None
    assert receipts.latest(1, 10) == []


def test_nobody_else_sees_or_owns_it(receipts: Receipts) -> None:
    receipts.begin(RECEIPT.record_id, 1)
    receipts.finish(RECEIPT)
    assert not receipts.owns(RECEIPT.record_id, 2)
    assert receipts.get(RECEIPT.record_id, 2) is None
    assert receipts.latest(2, 10) == []
    assert not receipts.owns("unknown", 1)


def test_the_latest_come_first_and_no_more_than_asked(receipts: Receipts) -> None:
    made = [replace(RECEIPT, record_id=f"record-{number}") for number in range(4)]
    for receipt in made:
        receipts.begin(receipt.record_id, 1)
        receipts.finish(receipt)
    assert receipts.latest(1, 3) == made[:0:-1]


def test_old_ones_are_forgotten_at_the_next_request(receipts: Receipts, database: Database) -> None:
    receipts.begin(RECEIPT.record_id, 1)
    receipts.finish(RECEIPT)
    with database.write() as session:
        session.execute(update(ReceiptRow).values(created_at=datetime.now(UTC) - KEEP * 1.01))
    receipts.begin("another", 1)
    assert receipts.get(RECEIPT.record_id, 1) is None
    receipts.finish(RECEIPT)
    assert receipts.get(RECEIPT.record_id, 1) is None


def test_a_receipt_from_before_there_were_aliases_can_be_read() -> None:
    old = {name: value for name, value in RECEIPT.body().items() if name != "answered_by"}
    assert TaskReceipt.from_body(old).answered_by == old["model"]


def test_the_table_has_no_place_for_a_text() -> None:
    assert set(ReceiptRow.__table__.columns.keys()) == {
        "record_id",
        "account_id",
        "created_at",
        "body",
    }
    assert set(TaskReceipt.__dataclass_fields__) == {
        "record_id",
        "appliance",
        "task",
        "task_version",
        "model",
        "answered_by",
        "model_digest",
        "template_digest",
        "engine_build",
        "seed",
        "outcome",
        "ended_at",
        "answer",
        "adapter_digest",
    }
