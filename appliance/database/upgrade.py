"""Bringing the app database to this release's schema, in the process that opens it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from appliance.database.connection import Database
from appliance.database.errors import SchemaTooNewError

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database) -> None:
    """Run the migrations that are missing; every start-up calls it, several may at once.

    The whole upgrade is one transaction that holds the write lock from its start: a process that
    starts beside waits, then finds nothing to do; a failed step leaves the database as it was.

    Raises:
        SchemaTooNewError: The database was written by a newer release.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    engine = database.engine.execution_options(cloister_begin="BEGIN IMMEDIATE")
    with engine.begin() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in scripts.walk_revisions()}
        if current is not None and current not in known:
            raise SchemaTooNewError(current)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
