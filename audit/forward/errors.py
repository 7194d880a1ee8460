"""What can go wrong on the way to a log host."""

from __future__ import annotations

from audit.errors import AuditError


class DestinationError(AuditError):
    """This is no address of a log host."""


class HostAwayError(AuditError):
    """The log host does not take lines at the moment; they wait in the log."""
