"""Numbers, times and states in words, for templates and messages."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from appliance.identity import Role

ROLE_TITLES: Final = {
    Role.USER: "User",
    Role.OPERATOR: "Operator",
    Role.OFFICER: "Officer",
    Role.ADMIN: "Administrator",
}
ROLE_WORK: Final = {
    Role.USER: "runs tasks and keeps their receipts",
    Role.OPERATOR: "looks after models and API keys",
    Role.OFFICER: "watches over the log; can not be an administrator too",
    Role.ADMIN: "looks after people; can not be an officer too",
}


def wait_of(seconds: int) -> str:
    """A waiting time in whole seconds as `45 seconds` or `8 minutes`, rounded up."""
    if seconds < 90:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{math.ceil(seconds / 60)} minutes"


def moment(when: datetime | float | None) -> str:
    """An instant as `23 Nov 2026, 02:44 UTC`; seconds since 1970 are taken too."""
    if when is None:
        return "Never"
    if isinstance(when, int | float):
        when = datetime.fromtimestamp(when, UTC)
    return f"{when.astimezone(UTC):%d %b %Y, %H:%M} UTC".lstrip("0")


def clock(when: datetime) -> str:
    """The time of day of an instant, as `02:44:07 UTC`."""
    return f"{when.astimezone(UTC):%H:%M:%S} UTC"


def bytes_in_words(count: int) -> str:
    """A number of bytes as `1.4 GiB` or `312 MiB`."""
    if count >= 1 << 30:
        return f"{count / (1 << 30):.1f} GiB"
    return f"{count / (1 << 20):.0f} MiB"


def role_title(role: Role) -> str:
    """A role's name for people."""
    return ROLE_TITLES[role]


def in_order(roles: frozenset[Role]) -> list[Role]:
    """Roles in the order in which they are always shown."""
    return [role for role in ROLE_TITLES if role in roles]


def instant(text: str) -> datetime:
    """An ISO 8601 time with its zone, as receipts store it."""
    return datetime.fromisoformat(text)
