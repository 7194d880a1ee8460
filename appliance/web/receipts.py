"""Receipts that a person may fetch again: what the receipt shows, and no text of theirs.

The log is the evidence; a receipt names the place in it. Each row belongs to the account that asked
and is forgotten after `KEEP`, so the app database does not become a second history of who did what.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from sqlalchemy import JSON, ForeignKey, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from appliance.database import Database
from appliance.database.tables import Base

KEEP: Final = timedelta(days=30)
"""How long a receipt can be fetched again."""


class ReceiptRow(Base):
    """One request of one account; `body` is the receipt once the answer has ended."""

    __tablename__ = "receipts"

    record_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(index=True)
    # Without none_as_null an unfinished receipt would be the JSON text `null`, which is not NULL.
    body: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


@dataclass(frozen=True)
class LogPlace:
    """Where a record stands in the log.

    Args:
        event: The record's id.
        index: Its place, from 0.
        leaf: SHA-256 of its leaf, base64.
        size: Records in the log at the checkpoint.
        root: Merkle root at that size, base64.
        checkpoint: The signed note over origin, size and root.
    """

    event: str
    index: int
    leaf: str
    size: int
    root: str
    checkpoint: str


@dataclass(frozen=True)
class TaskReceipt:
    """What a person keeps of an answer; everything in it is in the log or leads into it.

    Args:
        record_id: Id of the record that was written before the model began.
        appliance: Name of this appliance.
        task: Name of the task.
        task_version: Its version.
        model: Name that the task asked for: a model's, or an alias.
        answered_by: Name of the model that answered.
        model_digest: SHA-256 of the weights, hexadecimal.
        adapter_digest: SHA-256 of the adapter that the model answered with; None without one.
        template_digest: SHA-256 of the chat template, hexadecimal.
        engine_build: Versions of what ran the model.
        seed: Seed of the sampling.
        outcome: `stop`, `length` or `cancelled`.
        ended_at: When the answer ended, ISO 8601 in UTC.
        answer: Place of the answer's record in the log.
    """

    record_id: str
    appliance: str
    task: str
    task_version: int
    model: str
    answered_by: str
    model_digest: str
    template_digest: str
    engine_build: str
    seed: int
    outcome: str
    ended_at: str
    answer: LogPlace
    adapter_digest: str | None = None

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Self:
        """Read a stored receipt; one from before there were aliases asked for the model itself."""
        body = {"answered_by": body["model"], **body}
        return cls(**{**body, "answer": LogPlace(**body["answer"])})

    def body(self) -> dict[str, Any]:
        """The receipt as a JSON object."""
        return asdict(self)


class Receipts:
    """Keeps who asked what record id, and the receipts."""

    def __init__(self, database: Database) -> None:
        """Keep them in `database`."""
        self._database = database

    def begin(self, record_id: str, account_id: int) -> None:
        """Note that an account owns a request that is about to begin; forgets old ones."""
        now = datetime.now(UTC)
        with self._database.write() as session:
            session.execute(delete(ReceiptRow).where(ReceiptRow.created_at < now - KEEP))
            session.add(
                ReceiptRow(record_id=record_id, account_id=account_id, created_at=now, body=None)
            )

    def finish(self, receipt: TaskReceipt) -> None:
        """Keep the receipt of a request that was begun."""
        with self._database.write() as session:
            row = session.get(ReceiptRow, receipt.record_id)
            if row is not None:
                row.body = receipt.body()

    def owns(self, record_id: str, account_id: int) -> bool:
        """Whether the request was this account's."""
        with self._database.read() as session:
            row = session.get(ReceiptRow, record_id)
            return row is not None and row.account_id == account_id

    def get(self, record_id: str, account_id: int) -> TaskReceipt | None:
        """A receipt of this account; None also for one of somebody else."""
        with self._database.read() as session:
            row = session.get(ReceiptRow, record_id)
            if row is None or row.account_id != account_id or row.body is None:
                return None
            return TaskReceipt.from_body(row.body)

    def latest(self, account_id: int, count: int) -> list[TaskReceipt]:
        """The last receipts of an account, newest first."""
        query = (
            select(ReceiptRow.body)
            .where(ReceiptRow.account_id == account_id, ReceiptRow.body.is_not(None))
            .order_by(ReceiptRow.created_at.desc())
            .limit(count)
        )
        with self._database.read() as session:
            return [TaskReceipt.from_body(body) for body in session.scalars(query) if body]
