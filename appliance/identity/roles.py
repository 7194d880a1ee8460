"""The four roles and which of them may meet in one account."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from appliance.identity.errors import RoleConflictError


class Role(StrEnum):
    """What an account may do."""

    USER = "user"
    """Runs tasks and reads their own answers."""
    OPERATOR = "operator"
    """Brings models in, puts them behind names, watches the engine."""
    OFFICER = "officer"
    """Reads, exports and verifies the audit log."""
    ADMIN = "admin"
    """Makes accounts and keys."""


def check_roles(roles: Iterable[str]) -> frozenset[Role]:
    """The roles as a set, once they may meet in one account.

    Who hands out access must not be able to read what the log says about it, and the reverse
    (separation of duties, NIST SP 800-53 AC-5); so no account is both admin and officer.

    Raises:
        RoleConflictError: Both admin and officer, no role, or a role that there is not.
    """
    try:
        wanted = frozenset(Role(role) for role in roles)
    except ValueError as error:
        known = ", ".join(Role)
        raise RoleConflictError(f"{error}; the roles are {known}.") from None
    if not wanted:
        raise RoleConflictError("An account needs at least one role.")
    if {Role.ADMIN, Role.OFFICER} <= wanted:
        raise RoleConflictError(
            "No account may be both admin and officer: make a second account for the other role."
        )
    return wanted
