"""What the views work with: one typed object in the app, and one way to get it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flask import Flask, current_app

from appliance.database import Database, open_database, upgrade
from appliance.engine.client import EngineClient
from appliance.identity import Accounts, ApiKeys, Sessions
from appliance.identity.events import IdentityLog
from appliance.settings import Settings
from appliance.tasks.library import TaskLibrary
from appliance.tasks.pipeline import Pipeline
from appliance.web.log.exports import Exports
from appliance.web.log.openings import Openings
from appliance.web.receipts import Receipts
from audit.client import AuditClient
from audit.desk import Desk

_KEY: Final = "cloister"


@dataclass(frozen=True)
class Services:
    """The settings and everything that holds state outside a request."""

    settings: Settings
    database: Database
    log: AuditClient
    engine: EngineClient
    accounts: Accounts
    sessions: Sessions
    keys: ApiKeys
    identity_log: IdentityLog
    tasks: TaskLibrary
    pipeline: Pipeline
    receipts: Receipts
    openings: Openings
    exports: Exports

    def close(self) -> None:
        """Close the database and the clients' connections."""
        self.engine.close()
        self.log.close()
        self.database.close()


def open_services(settings: Settings) -> Services:
    """Open the database, bring it to this release's schema, and make the clients.

    Nothing connects to the engine or the log yet: the web process starts in any order with them.
    """
    database = open_database(settings.database_url)
    upgrade(database)
    log = AuditClient(settings.audit_socket)
    engine = EngineClient(settings.engine_socket)
    return Services(
        settings=settings,
        database=database,
        log=log,
        engine=engine,
        accounts=Accounts(database, log),
        sessions=Sessions(
            database,
            log,
            idle=timedelta(minutes=settings.session_idle_minutes),
            absolute=timedelta(hours=settings.session_hours),
        ),
        keys=ApiKeys(database, log),
        identity_log=IdentityLog(log),
        tasks=TaskLibrary.load(),
        pipeline=Pipeline(engine, log, settings.audit_grade),
        receipts=Receipts(database),
        openings=Openings(database),
        exports=Exports(
            settings.web / "exports", Desk(settings.audit, log), settings.disk_minimum_mib << 20
        ),
    )


def install(app: Flask, services: Services) -> None:
    """Give the app its services."""
    app.extensions[_KEY] = services


def services() -> Services:
    """The services of the app that handles this request."""
    found: Services = current_app.extensions[_KEY]
    return found
