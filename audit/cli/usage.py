"""The one error that the command line itself makes."""

from __future__ import annotations

from typing import Final

from audit.errors import AuditError

EXIT_USAGE: Final = 4


class UsageError(AuditError):
    """What was asked for can not be done as it was asked."""
