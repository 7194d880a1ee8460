"""Sessions of browsers, kept on the server."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session as DbSession

from appliance.database import Database
from appliance.database.tables import AccountRow, SessionRow
from appliance.identity.events import Event, IdentityLog
from appliance.identity.model import Account, Clock, Session, account_of, utc_now
from audit.client import AuditClient

_TOKEN_BYTES = 32
# Writing the time of every request would make each read of a page a write.
_SEEN_STEP = timedelta(minutes=1)
_ADDRESS_CHARACTERS = 64


class Sessions:
    """Opens, checks and ends sessions.

    The cookie holds 32 random bytes; the database holds their SHA-256. Whoever reads the database
    can not use what it finds there as a cookie.
    """

    def __init__(
        self,
        database: Database,
        log: AuditClient,
        idle: timedelta,
        absolute: timedelta,
        clock: Clock = utc_now,
    ) -> None:
        """A session ends when unused for `idle`, and in any case after `absolute`."""
        self._database = database
        self._log = IdentityLog(log)
        self._idle = idle
        self._absolute = absolute
        self._clock = clock

    def open(self, account: Account, address: str, previous: str | None = None) -> Session:
        """Open a session with a new token.

        Args:
            account: Who signed in.
            address: Where from.
            previous: Token that the browser sent along; that session ends, so that a token known
                to somebody before the sign-in is worth nothing after it (session fixation).

        Returns:
            The session; its `token` goes into the cookie.
        """
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._clock()
        with self._database.write() as session:
            self._prune(session, now)
            if previous is not None:
                session.execute(
                    delete(SessionRow).where(SessionRow.token_hash == token_hash(previous))
                )
            row = SessionRow(
                token_hash=token_hash(token),
                account_id=account.id,
                address=address[:_ADDRESS_CHARACTERS],
                created_at=now,
                seen_at=now,
                expires_at=now + self._absolute,
            )
            session.add(row)
            return _session(row, account, token)

    def check(self, token: str | None, *, used: bool = True) -> Session | None:
        """The live session of this token, or None.

        None also where the account was disabled; roles are those of the account now.

        Args:
            token: As the browser sent it.
            used: Whether a person asks. What an open page asks for on its own puts no end off:
                a screen that nobody sits at would never be signed out.
        """
        if not token:
            return None
        now = self._clock()
        with self._database.read() as session:
            found = session.execute(
                select(SessionRow, AccountRow)
                .join(AccountRow, AccountRow.id == SessionRow.account_id)
                .where(SessionRow.token_hash == token_hash(token))
            ).first()
        if found is None:
            return None
        row, owner = found
        if row.expires_at <= now or row.seen_at + self._idle <= now or owner.disabled_at:
            return None
        if used and row.seen_at + _SEEN_STEP <= now:
            self._seen(row.token_hash, now)
        return _session(row, account_of(owner), token)

    def close(self, session: Session) -> None:
        """Sign out: the session is over even where the log is not there to note it.

        Raises:
            LogUnavailableError: The session has ended, but no record says so.
        """
        with self._database.write() as database:
            database.execute(
                delete(SessionRow).where(SessionRow.token_hash == token_hash(session.token))
            )
        self._log.write(Event.SESSION_CLOSED, session.account.name, address=session.address)

    def revoke_all(self, account: Account, *, actor: str) -> int:
        """End all sessions of an account; returns how many there were.

        Raises:
            LogUnavailableError: The sessions have ended, but no record says so.
        """
        with self._database.write() as session:
            ended = session.scalars(
                delete(SessionRow)
                .where(SessionRow.account_id == account.id)
                .returning(SessionRow.token_hash)
            ).all()
        self._log.write(Event.SESSION_CLOSED, actor, account.name, sessions=len(ended))
        return len(ended)

    def _seen(self, token_hash: bytes, now: datetime) -> None:
        with self._database.write() as session:
            row = session.get(SessionRow, token_hash)
            if row is not None:
                row.seen_at = now

    def _prune(self, session: DbSession, now: datetime) -> None:
        ended = or_(SessionRow.expires_at <= now, SessionRow.seen_at <= now - self._idle)
        session.execute(delete(SessionRow).where(ended))


def token_hash(token: str) -> bytes:
    """What the database keeps of a session's token: its SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _session(row: SessionRow, account: Account, token: str) -> Session:
    return Session(account, row.address, row.created_at, row.expires_at, token)
