"""Requests of officers to open contents, and what an officer of the other group answered.

What lies here opens nothing: the reason is sealed to the officers, the answer to the one who asked,
and it takes the key of that one as well. All of it is forgotten after `KEEP`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ForeignKey, String, Text, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from appliance.database import Database
from appliance.database.tables import AccountRow, Base

KEEP: Final = timedelta(hours=72)
"""How long a request waits, and its answer can be used."""
MAX_RECORDS: Final = 100
"""Records that one request may name: somebody has to look at each of them."""


class OpeningRow(Base):
    """One request; `decided_by` is set once it was answered, `answer` only if it was granted."""

    __tablename__ = "openings"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(index=True)
    asked: Mapped[dict[str, Any]]
    decided_by: Mapped[str | None] = mapped_column(String(64))
    decided_at: Mapped[datetime | None]
    answer: Mapped[str | None] = mapped_column(Text)


@dataclass(frozen=True)
class Asked:
    """What an officer asks for.

    Args:
        group: Of the officer's key, as the page says.
        recipient: Public half of that key; the answer is sealed to it.
        records: Places of the records in the log.
        reason: Sealed to the officers by the page: `{"epoch", "sealed"}`.
    """

    group: str
    recipient: str
    records: list[int]
    reason: dict[str, Any]


@dataclass(frozen=True)
class Opening:
    """A request.

    Args:
        id: Id of the log's record of it.
        account_id: Whose it is.
        by: Name of that account.
        created_at: When it was made.
        decided_by: Who answered, None as long as nobody did.
        answer: The answer, an age file in base64; None where it was refused.
    """

    id: str
    account_id: int
    by: str
    created_at: datetime
    asked: Asked
    decided_by: str | None = None
    answer: str | None = None

    @property
    def state(self) -> str:
        """`waiting`, `granted` or `refused`."""
        if self.decided_by is None:
            return "waiting"
        return "refused" if self.answer is None else "granted"


class Openings:
    """Keeps the requests in the app database."""

    def __init__(self, database: Database) -> None:
        """Keep them in `database`."""
        self._database = database

    def ask(self, opening_id: str, account_id: int, asked: Asked) -> None:
        """Keep a request; forgets old ones."""
        now = datetime.now(UTC)
        with self._database.write() as session:
            session.execute(delete(OpeningRow).where(OpeningRow.created_at < now - KEEP))
            session.add(
                OpeningRow(
                    id=opening_id, account_id=account_id, created_at=now, asked=asdict(asked)
                )
            )

    def latest(self) -> list[Opening]:
        """All requests that are not too old, newest first."""
        return self._select()

    def get(self, opening_id: str) -> Opening | None:
        """One request, None if there is none or it is too old."""
        found = self._select(opening_id)
        return found[0] if found else None

    def decide(self, opening_id: str, by: str, answer: str | None) -> bool:
        """Answer a request, or refuse it with None; False if somebody has already."""
        with self._database.write() as session:
            row = session.get(OpeningRow, opening_id)
            if row is None or row.decided_by is not None:
                return False
            row.decided_by, row.decided_at, row.answer = by, datetime.now(UTC), answer
            return True

    def withdraw(self, opening_id: str, account_id: int) -> None:
        """Forget a request of this account, with its answer."""
        with self._database.write() as session:
            session.execute(
                delete(OpeningRow).where(
                    OpeningRow.id == opening_id, OpeningRow.account_id == account_id
                )
            )

    def _select(self, opening_id: str | None = None) -> list[Opening]:
        query = (
            select(OpeningRow, AccountRow.name)
            .join(AccountRow, AccountRow.id == OpeningRow.account_id)
            .where(OpeningRow.created_at >= datetime.now(UTC) - KEEP)
            .order_by(OpeningRow.created_at.desc())
        )
        if opening_id is not None:
            query = query.where(OpeningRow.id == opening_id)
        with self._database.read() as session:
            return [_opening(row, name) for row, name in session.execute(query)]


def _opening(row: OpeningRow, name: str) -> Opening:
    return Opening(
        id=row.id,
        account_id=row.account_id,
        by=name,
        created_at=row.created_at,
        asked=Asked(**row.asked),
        decided_by=row.decided_by,
        answer=row.answer,
    )
