"""The open sessions of one account, for its owner to look at and end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from appliance.database import Database
from appliance.database.tables import SessionRow
from appliance.identity.events import Event, IdentityLog
from appliance.identity.model import Session
from appliance.identity.sessions import token_hash


@dataclass(frozen=True)
class OpenSession:
    """A session as its owner sees it.

    Args:
        id: Names the session in forms; the hash of its token, in hexadecimal, which opens nothing.
        address: Address that it was opened from.
        created_at: When it was opened.
        seen_at: When it was last used, to the minute.
        this: Whether it is the one that asks.
    """

    id: str
    address: str
    created_at: datetime
    seen_at: datetime
    this: bool


def open_sessions(database: Database, session: Session, now: datetime) -> list[OpenSession]:
    """The sessions of the account of `session`, the latest first."""
    query = (
        select(SessionRow)
        .where(SessionRow.account_id == session.account.id, SessionRow.expires_at > now)
        .order_by(SessionRow.created_at.desc())
    )
    own = token_hash(session.token)
    with database.read() as reading:
        return [
            OpenSession(
                row.token_hash.hex(),
                row.address,
                row.created_at,
                row.seen_at,
                row.token_hash == own,
            )
            for row in reading.scalars(query)
        ]


def end_sessions(
    database: Database, log: IdentityLog, session: Session, only: str | None = None
) -> int:
    """End other sessions of the account of `session`, never `session` itself.

    Args:
        database: The app database.
        log: Takes one record of it.
        session: The session that asks.
        only: Id of the one session to end; None ends all others.

    Returns:
        How many ended.

    Raises:
        LogUnavailableError: The log did not take the record; the sessions go on.
    """
    ending = delete(SessionRow).where(
        SessionRow.account_id == session.account.id,
        SessionRow.token_hash != token_hash(session.token),
    )
    if only is not None:
        ending = ending.where(SessionRow.token_hash == _from_id(only))
    with database.write() as writing:
        ended = len(writing.scalars(ending.returning(SessionRow.token_hash)).all())
        if ended:
            log.write(
                Event.SESSION_CLOSED, session.account.name, session.account.name, sessions=ended
            )
    return ended


def _from_id(given: str) -> bytes:
    try:
        return bytes.fromhex(given)
    except ValueError:
        return b""
