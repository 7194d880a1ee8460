"""API keys of line-of-business systems."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NoReturn

from sqlalchemy import or_, select
from sqlalchemy.orm import Session as DbSession

from appliance.database import Database
from appliance.database.tables import AccountRow, ApiKeyRow
from appliance.identity.errors import (
    BadKeyError,
    DisabledError,
    KeyExistsError,
    UnknownAccountError,
    UnknownKeyError,
)
from appliance.identity.events import Event, IdentityLog
from appliance.identity.model import Clock, KeyInfo, KeyPrincipal, clean_name, utc_now
from audit.client import AuditClient

_SCHEME = "clst"
_PREFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_PREFIX_LENGTH = 8
_SECRET_BYTES = 32
_LONGEST = 128  # characters of a key that is looked at
_USED_STEP = timedelta(minutes=1)


class ApiKeys:
    """Makes, checks and revokes keys of the form `clst_<prefix>_<secret>`.

    The prefix names the key in lists and in the log. The secret is 256 random bits, so a plain
    SHA-256 of it is the right thing to store: a slow hash protects what can be guessed, and 256
    bits can not be. What is presented is found by its prefix and compared in constant time.
    """

    def __init__(self, database: Database, log: AuditClient, clock: Clock = utc_now) -> None:
        """Keep keys in `database` and their history in `log`."""
        self._database = database
        self._log = IdentityLog(log)
        self._clock = clock

    def create(
        self,
        name: str,
        *,
        actor: str,
        owner: str | None = None,
        models: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
        lifetime: timedelta | None = None,
    ) -> str:
        """Make a key.

        Args:
            name: What the key is for, such as the calling system's name.
            actor: Name of who does it.
            owner: Account that answers for the key; the key stops when the account is disabled.
            models: Models that it may ask through `/v1`; None means all.
            tasks: Tasks that it may run; None means all.
            lifetime: Time until it expires; None means never.

        Returns:
            The whole key, shown this once.

        Raises:
            BadNameError, KeyExistsError, UnknownAccountError, DisabledError: Not allowed.
            LogUnavailableError: The log did not take it; no key was made.
        """
        wanted, now = clean_name(name), self._clock()
        prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_LENGTH))
        key = f"{_SCHEME}_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        scope = {"models": _listed(models), "tasks": _listed(tasks)}
        with self._database.write() as session:
            _refuse_taken(session, wanted)
            row = ApiKeyRow(
                prefix=prefix,
                secret_hash=_hash(key),
                name=wanted,
                owner_id=None if owner is None else _owner_id(session, owner),
                scope=scope,
                created_at=now,
                expires_at=None if lifetime is None else now + lifetime,
            )
            self._log.write(
                Event.KEY_CREATED, actor, owner, key=prefix, key_name=wanted, scope=scope
            )
            session.add(row)
        return key

    def check(self, presented: str | None, source: str) -> KeyPrincipal:
        """Who a request with this key is.

        Args:
            presented: What came in the `Authorization` header after `Bearer`.
            source: Address that the request came from.

        Raises:
            BadKeyError: Unknown, revoked, expired, or its owner is disabled; logged.
            LogUnavailableError: The key is bad and the log did not take the record.
        """
        now = self._clock()
        with self._database.read() as session:
            found = _lookup(session, presented)
        if found is None:
            self._refuse("unknown", source, "unknown")
        row, owner = found
        if row.revoked_at is not None:
            self._refuse(row.prefix, source, "revoked")
        if row.expires_at is not None and row.expires_at <= now:
            self._refuse(row.prefix, source, "expired")
        if owner is not None and owner.disabled_at is not None:
            self._refuse(row.prefix, source, "owner_disabled")
        if row.used_at is None or row.used_at + _USED_STEP <= now:
            self._used(row.id, now)
        info = _info(row, owner)
        return KeyPrincipal(info.prefix, info.name, info.owner, info.models, info.tasks)

    def list(self, *, revoked: bool = False) -> list[KeyInfo]:
        """All live keys by name; with `revoked`, the revoked ones too."""
        query = (
            select(ApiKeyRow, AccountRow)
            .outerjoin(AccountRow, AccountRow.id == ApiKeyRow.owner_id)
            .order_by(ApiKeyRow.name, ApiKeyRow.id)
        )
        if not revoked:
            query = query.where(ApiKeyRow.revoked_at.is_(None))
        with self._database.read() as session:
            return [_info(row, owner) for row, owner in session.execute(query)]

    def revoke(self, key: str, *, actor: str) -> KeyInfo:
        """Stop a key for good.

        Args:
            key: Its prefix or its name.
            actor: Name of who does it.

        Raises:
            UnknownKeyError: There is no such live key.
            LogUnavailableError: The log did not take it; the key still works.
        """
        with self._database.write() as session:
            row = session.scalar(
                select(ApiKeyRow)
                .where(or_(ApiKeyRow.prefix == key, ApiKeyRow.name == key))
                .where(ApiKeyRow.revoked_at.is_(None))
                .order_by(ApiKeyRow.prefix != key)
            )
            if row is None:
                raise UnknownKeyError(key[:64])
            owner = _owner(session, row)
            self._log.write(
                Event.KEY_REVOKED,
                actor,
                None if owner is None else owner.name,
                key=row.prefix,
                key_name=row.name,
            )
            row.revoked_at = self._clock()
            return _info(row, owner)

    def _refuse(self, prefix: str, source: str, reason: str) -> NoReturn:
        actor = f"key:{prefix}"
        raise BadKeyError(self._log.write(Event.KEY_REFUSED, actor, address=source, reason=reason))

    def _used(self, key_id: int, now: datetime) -> None:
        with self._database.write() as session:
            row = session.get(ApiKeyRow, key_id)
            if row is not None:
                row.used_at = now


def _lookup(
    session: DbSession, presented: str | None
) -> tuple[ApiKeyRow, AccountRow | None] | None:
    if presented is None or len(presented) > _LONGEST:
        return None
    scheme, _, rest = presented.partition("_")
    prefix, _, _ = rest.partition("_")
    if scheme != _SCHEME:
        return None
    row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.prefix == prefix))
    if row is None or not hmac.compare_digest(row.secret_hash, _hash(presented)):
        return None
    return row, _owner(session, row)


def _owner(session: DbSession, row: ApiKeyRow) -> AccountRow | None:
    return None if row.owner_id is None else session.get(AccountRow, row.owner_id)


def _refuse_taken(session: DbSession, name: str) -> None:
    taken = select(ApiKeyRow.id).where(ApiKeyRow.name == name, ApiKeyRow.revoked_at.is_(None))
    if session.scalar(taken) is not None:
        raise KeyExistsError(name)


def _owner_id(session: DbSession, name: str) -> int:
    row = session.scalar(select(AccountRow).where(AccountRow.name == name.strip().lower()))
    if row is None:
        raise UnknownAccountError(name)
    if row.disabled_at is not None:
        raise DisabledError
    return row.id


def _listed(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else sorted(set(names))


def _info(row: ApiKeyRow, owner: AccountRow | None) -> KeyInfo:
    models, tasks = row.scope["models"], row.scope["tasks"]
    return KeyInfo(
        prefix=row.prefix,
        name=row.name,
        owner=None if owner is None else owner.name,
        models=None if models is None else tuple(models),
        tasks=None if tasks is None else tuple(tasks),
        created_at=row.created_at,
        used_at=row.used_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
