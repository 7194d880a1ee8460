"""What can go wrong with the app database."""

from __future__ import annotations


class DatabaseError(Exception):
    """The app database can not be used as it is."""


class SchemaTooNewError(DatabaseError):
    """The app database was written by a newer release than this one."""

    def __init__(self, revision: str) -> None:
        """Name the revision that this release does not know."""
        super().__init__(
            f"the app database is at revision {revision}, which this release does not know; "
            "install the newer release again or restore the backup that belongs to this one"
        )
