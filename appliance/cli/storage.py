"""The app database, for the commands that need it: it takes a while to import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from appliance.database import Database, open_database, upgrade
from appliance.host.errors import NotRunningError
from appliance.settings import Settings


@contextmanager
def open_app_database(settings: Settings) -> Iterator[Database]:
    """The app database at this release's schema.

    Raises:
        NotRunningError: there is no state tree yet; it is for `cloister run` to make.
    """
    if not settings.web.is_dir():
        raise NotRunningError(
            f"There is no state of Cloister in {settings.root}.",
            "Make it with `cloister run`, or name its folder with CLOISTER_STATE.",
        )
    database = open_database(settings.database_url)
    try:
        upgrade(database)
        yield database
    finally:
        database.close()
