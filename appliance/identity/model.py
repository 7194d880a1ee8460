"""What the rest of the program sees of an account, a session and a key."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from appliance.database.tables import AccountRow
from appliance.identity.errors import BadNameError
from appliance.identity.roles import Role

Clock = Callable[[], datetime]

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_CSRF_LABEL = b"cloister csrf v1"


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def clean_name(name: str) -> str:
    """The name as it is stored: trimmed, lower case.

    Raises:
        BadNameError: It has other characters than a name may have, or is too long.
    """
    wanted = name.strip().lower()
    if not _NAME.fullmatch(wanted):
        raise BadNameError(name)
    return wanted


@dataclass(frozen=True)
class Account:
    """A person who may sign in."""

    id: int
    name: str
    roles: frozenset[Role]
    must_change: bool
    """The password was given by somebody else: nothing else is allowed until it is changed."""
    disabled: bool
    created_at: datetime
    password_at: datetime
    last_login_at: datetime | None

    def has(self, *roles: Role) -> bool:
        """Whether the account has at least one of the roles."""
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True)
class Session:
    """A live session of a browser."""

    account: Account
    address: str
    created_at: datetime
    expires_at: datetime
    token: str = field(repr=False)

    @property
    def csrf(self) -> str:
        """Secret that each form of the signed-in person carries, 64 hexadecimal digits.

        Derived from the token, so that the database holds neither: HMAC-SHA-256 of a fixed label
        under the token.
        """
        return hmac.new(self.token.encode(), _CSRF_LABEL, hashlib.sha256).hexdigest()

    def csrf_matches(self, given: str | None) -> bool:
        """Whether a form came with the right secret; takes the same time either way."""
        return hmac.compare_digest((given or "").encode("utf-8", "replace"), self.csrf.encode())


@dataclass(frozen=True)
class KeyInfo:
    """An API key as lists show it; the secret is not kept anywhere."""

    prefix: str
    name: str
    owner: str | None
    models: tuple[str, ...] | None
    """Models that it may ask; None means all."""
    tasks: tuple[str, ...] | None
    """Tasks that it may run; None means all."""
    created_at: datetime
    used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class KeyPrincipal:
    """Who a request with a valid key is."""

    prefix: str
    name: str
    owner: str | None
    models: tuple[str, ...] | None
    tasks: tuple[str, ...] | None

    @property
    def actor(self) -> str:
        """The name under which the log knows this key."""
        return f"key:{self.prefix}"

    def may_use_model(self, model: str) -> bool:
        """Whether the key's scope has this model."""
        return self.models is None or model in self.models

    def may_run_task(self, task: str) -> bool:
        """Whether the key's scope has this task; a task brings its own model."""
        return self.tasks is None or task in self.tasks


def account_of(row: AccountRow) -> Account:
    """The account that a row holds."""
    held = {
        Role.USER: row.is_user,
        Role.OPERATOR: row.is_operator,
        Role.OFFICER: row.is_officer,
        Role.ADMIN: row.is_admin,
    }
    return Account(
        id=row.id,
        name=row.name,
        roles=frozenset(role for role, has in held.items() if has),
        must_change=row.must_change,
        disabled=row.disabled_at is not None,
        created_at=row.created_at,
        password_at=row.password_at,
        last_login_at=row.last_login_at,
    )
