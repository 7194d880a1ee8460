"""The log records of sign-ins and of changes to accounts and keys."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from audit.client import AuditClient, RecordType


class Event(StrEnum):
    """What happened, as `area:subject:action`."""

    SESSION_OPENED = "identity:session:opened"
    SESSION_REFUSED = "identity:session:refused"
    SESSION_CLOSED = "identity:session:closed"
    PASSWORD_CHANGED = "identity:password:changed"  # noqa: S105 - the name of an event
    PASSWORD_RESET = "identity:password:reset"  # noqa: S105 - the name of an event
    ACCOUNT_CREATED = "identity:account:created"
    ACCOUNT_DISABLED = "identity:account:disabled"
    ACCOUNT_ENABLED = "identity:account:enabled"
    ROLES_CHANGED = "identity:roles:changed"
    KEY_CREATED = "identity:key:created"
    KEY_REVOKED = "identity:key:revoked"
    KEY_REFUSED = "identity:key:refused"
    ACCESS_REFUSED = "identity:access:refused"


_ADMIN = {
    Event.PASSWORD_RESET,
    Event.ACCOUNT_CREATED,
    Event.ACCOUNT_DISABLED,
    Event.ACCOUNT_ENABLED,
    Event.ROLES_CHANGED,
    Event.KEY_CREATED,
    Event.KEY_REVOKED,
}


class IdentityLog:
    """Writes identity events to the audit log; each call returns once the record is durable."""

    def __init__(self, log: AuditClient) -> None:
        """`log` is the writer's client."""
        self._log = log

    def write(
        self,
        event: Event,
        actor: str,
        about: str | None = None,
        **meta: Any,  # noqa: ANN401 - JSON
    ) -> str:
        """Append one record.

        Args:
            event: What happened; changes to accounts and keys become `admin` records, the rest
                `auth` records.
            actor: Name of the account, key or program that did it.
            about: Name of the account that it was done to, if it is another one.
            meta: JSON values; never a password or a secret.

        Returns:
            The record's id.

        Raises:
            LogUnavailableError, RecordRefusedError: The log did not take it; the caller must not
                go on with what it wanted to do.
        """
        kind = RecordType.ADMIN if event in _ADMIN else RecordType.AUTH
        receipt = self._log.append(
            kind, actor=actor, subject=about, meta={"event": event.value, **meta}, content=None
        )
        return receipt.event
