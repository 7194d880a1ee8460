"""Local accounts: making, changing, and signing in with a name and a password.

Changes are logged first: the record is durable before the change is committed, and where the log
does not take it nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session as DbSession

from appliance.database import Database
from appliance.database.tables import AccountRow, SessionRow
from appliance.identity import lockout
from appliance.identity.errors import (
    AccountExistsError,
    BadCredentialsError,
    BadNameError,
    DisabledError,
    LastAdminError,
    LockedOutError,
    UnknownAccountError,
)
from appliance.identity.events import Event, IdentityLog
from appliance.identity.model import Account, Clock, account_of, clean_name, utc_now
from appliance.identity.passwords import (
    check_policy,
    hash_password,
    new_password,
    verify_password,
)
from appliance.identity.roles import Role, check_roles
from audit.client import AuditClient

_UNKNOWN = "unknown"


class Accounts:
    """The accounts of this appliance."""

    def __init__(self, database: Database, log: AuditClient, clock: Clock = utc_now) -> None:
        """Keep accounts in `database` and their history in `log`."""
        self._database = database
        self._log = IdentityLog(log)
        self._clock = clock

    def create(
        self, name: str, roles: Iterable[str], password: str | None = None, *, actor: str
    ) -> str:
        """Make an account.

        Args:
            name: Name to sign in with; case does not matter.
            roles: One or more of `Role`.
            password: First password; None makes a random one.
            actor: Name of who does it.

        Returns:
            The first password. It must be changed at the first sign-in.

        Raises:
            BadNameError, RoleConflictError, WeakPasswordError, AccountExistsError: Not allowed.
            LogUnavailableError: The log did not take it; nothing changed.
        """
        wanted, held = clean_name(name), check_roles(roles)
        if password is not None:
            check_policy(password, wanted)
        first = password or new_password()
        hashed = hash_password(first)
        now = self._clock()
        with self._database.write() as session:
            if _find(session, wanted) is not None:
                raise AccountExistsError(wanted)
            self._log.write(Event.ACCOUNT_CREATED, actor, wanted, roles=sorted(held))
            row = AccountRow(
                name=wanted,
                password_hash=hashed,
                must_change=True,
                created_at=now,
                password_at=now,
            )
            _set_roles(row, held)
            session.add(row)
        return first

    def authenticate(self, name: str, password: str, source: str) -> Account:
        """Sign in.

        Args:
            name: Name as typed.
            password: Password as typed.
            source: Address that the request came from, for the lock-out and the log.

        Returns:
            The account. Where `must_change` is set it may only change its password.

        Raises:
            BadCredentialsError: Wrong name or password; takes the same work for both.
            LockedOutError: Too many failures from there; carries `retry_after` seconds.
            DisabledError: Right password, but the account is disabled.
            LogUnavailableError: The log did not take the record; nobody is signed in.
        """
        tried = name.strip().lower()
        self._begin(tried, source)
        with self._database.read() as session:
            row = _find(session, tried)
        right = verify_password(password, None if row is None else row.password_hash)
        if row is None or not right:
            # An unknown name is not logged: it may be a password typed into the wrong field.
            self._refuse(_UNKNOWN if row is None else row.name, source, "bad_credentials")
            raise BadCredentialsError
        self._forgive(row.name, source)
        if row.disabled_at is not None:
            self._refuse(row.name, source, "disabled")
            raise DisabledError
        self._log.write(Event.SESSION_OPENED, row.name, address=source)
        with self._database.write() as session:
            live = _get(session, row.name)
            live.last_login_at = self._clock()
            return account_of(live)

    def change_password(self, account: Account, old: str, new: str, source: str) -> Account:
        """Give an account the password that its owner chose; ends all its sessions.

        Args:
            account: The account, as `authenticate` or a session gave it.
            old: The password until now. Wrong ones count towards the lock-out.
            new: The wanted one.
            source: Address that the request came from.

        Returns:
            The account, with `must_change` off. Open a new session for it.

        Raises:
            BadCredentialsError, LockedOutError, WeakPasswordError: Not allowed.
            LogUnavailableError: The log did not take it; nothing changed.
        """
        self._begin(account.name, source)
        with self._database.read() as session:
            stored = _get(session, account.name).password_hash
        if not verify_password(old, stored):
            self._refuse(account.name, source, "bad_credentials")
            raise BadCredentialsError
        self._forgive(account.name, source)
        check_policy(new, account.name, old)
        hashed = hash_password(new)
        with self._database.write() as session:
            row = _get(session, account.name)
            self._log.write(Event.PASSWORD_CHANGED, account.name, address=source)
            _set_password(session, row, hashed, must_change=False)
            row.password_at = self._clock()
            return account_of(row)

    def reset(self, name: str, *, actor: str) -> str:
        """Give an account a new one-time password; ends its sessions and its lock-outs.

        Returns:
            The one-time password.

        Raises:
            UnknownAccountError: No such account.
            LogUnavailableError: The log did not take it; nothing changed.
        """
        password = new_password()
        hashed = hash_password(password)
        with self._database.write() as session:
            row = _get(session, name)
            self._log.write(Event.PASSWORD_RESET, actor, row.name)
            _set_password(session, row, hashed, must_change=True)
            row.password_at = self._clock()
            lockout.forgive(session, row.name)
        return password

    def disable(self, name: str, *, actor: str) -> None:
        """Let nobody sign in with this account; ends its sessions and stops its keys.

        Raises:
            UnknownAccountError, LastAdminError: Not allowed.
            LogUnavailableError: The log did not take it; nothing changed.
        """
        with self._database.write() as session:
            row = _get(session, name)
            _keep_an_admin(session, row)
            self._log.write(Event.ACCOUNT_DISABLED, actor, row.name)
            row.disabled_at = self._clock()
            session.execute(delete(SessionRow).where(SessionRow.account_id == row.id))

    def enable(self, name: str, *, actor: str) -> None:
        """Let the owner of a disabled account sign in again.

        Raises:
            UnknownAccountError: No such account.
            LogUnavailableError: The log did not take it; nothing changed.
        """
        with self._database.write() as session:
            row = _get(session, name)
            self._log.write(Event.ACCOUNT_ENABLED, actor, row.name)
            row.disabled_at = None

    def set_roles(self, name: str, roles: Iterable[str], *, actor: str) -> None:
        """Give an account these roles and no others; ends its sessions.

        Raises:
            UnknownAccountError, RoleConflictError, LastAdminError: Not allowed.
            LogUnavailableError: The log did not take it; nothing changed.
        """
        held = check_roles(roles)
        with self._database.write() as session:
            row = _get(session, name)
            if Role.ADMIN not in held:
                _keep_an_admin(session, row)
            before = sorted(account_of(row).roles)
            self._log.write(Event.ROLES_CHANGED, actor, row.name, before=before, after=sorted(held))
            _set_roles(row, held)
            session.execute(delete(SessionRow).where(SessionRow.account_id == row.id))

    def get(self, name: str) -> Account:
        """The account of this name; raises UnknownAccountError."""
        with self._database.read() as session:
            return account_of(_get(session, name))

    def list(self) -> list[Account]:
        """All accounts by name, disabled ones too."""
        with self._database.read() as session:
            rows = session.scalars(select(AccountRow).order_by(AccountRow.name))
            return [account_of(row) for row in rows]

    def _begin(self, name: str, source: str) -> None:
        try:
            with self._database.write() as session:
                lockout.begin_attempt(session, name, source, self._clock())
        except LockedOutError:
            self._refuse(self._known(name), source, "locked_out")
            raise

    def _forgive(self, name: str, source: str) -> None:
        with self._database.write() as session:
            lockout.forgive(session, name, source)

    def _known(self, name: str) -> str:
        with self._database.read() as session:
            row = _find(session, name)
            return _UNKNOWN if row is None else row.name

    def _refuse(self, actor: str, source: str, reason: str) -> None:
        self._log.write(Event.SESSION_REFUSED, actor, address=source, reason=reason)


def _find(session: DbSession, name: str) -> AccountRow | None:
    return session.scalar(select(AccountRow).where(AccountRow.name == name))


def _get(session: DbSession, name: str) -> AccountRow:
    try:
        row = _find(session, clean_name(name))
    except BadNameError:
        row = None
    if row is None:
        raise UnknownAccountError(name)
    return row


def _set_roles(row: AccountRow, roles: frozenset[Role]) -> None:
    row.is_user = Role.USER in roles
    row.is_operator = Role.OPERATOR in roles
    row.is_officer = Role.OFFICER in roles
    row.is_admin = Role.ADMIN in roles


def _set_password(session: DbSession, row: AccountRow, hashed: str, *, must_change: bool) -> None:
    row.password_hash = hashed
    row.must_change = must_change
    session.execute(delete(SessionRow).where(SessionRow.account_id == row.id))


def _keep_an_admin(session: DbSession, row: AccountRow) -> None:
    if not row.is_admin or row.disabled_at is not None:
        return
    others = select(func.count()).where(
        AccountRow.is_admin, AccountRow.disabled_at.is_(None), AccountRow.id != row.id
    )
    if not session.scalar(others):
        raise LastAdminError(row.name)
