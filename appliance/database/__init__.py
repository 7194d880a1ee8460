"""The app database: accounts, sessions, API keys, lock-out counters. It holds no prompt."""

from appliance.database.connection import Database, open_database
from appliance.database.errors import DatabaseError, SchemaTooNewError
from appliance.database.upgrade import upgrade

__all__ = ["Database", "DatabaseError", "SchemaTooNewError", "open_database", "upgrade"]
