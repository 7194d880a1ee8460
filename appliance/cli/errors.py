"""Errors in one line for a person: what is wrong, and what to do about it.

Imported only once something went wrong: it knows the errors of every package.
"""

from __future__ import annotations

import tomllib

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from appliance.bundle.errors import BundleError
from appliance.catalogue.errors import CatalogueError
from appliance.database.errors import DatabaseError
from appliance.engine.errors import EngineError, OptionsError
from appliance.host.errors import HostError
from appliance.identity.errors import IdentityError
from appliance.importing.errors import ImportingError
from appliance.tasks.errors import TaskError
from audit.errors import AuditError

_EXPECTED = (
    HostError,
    AuditError,
    BundleError,
    CatalogueError,
    DatabaseError,
    EngineError,
    IdentityError,
    ImportingError,
    OptionsError,
    TaskError,
)


def describe(error: Exception) -> str:
    """The error's line.

    Nothing of an unexpected error's own words is in it: they may hold what somebody typed.
    """
    match error:
        case _ if isinstance(error, _EXPECTED):
            return str(error)
        case ValidationError():
            return _wrong_settings(error)
        case tomllib.TOMLDecodeError():
            return (
                f"etc/cloister/appliance.toml of the state tree is no TOML: {error}. Mend that "
                "line, or move the file away: the next `cloister run` writes a new one."
            )
        case SQLAlchemyError():
            kind = type(error).__name__
            return f"The app database can not be used ({kind}). Run: cloister doctor"
        case OSError(filename=str()):
            return f"{error.filename}: {error.strerror}. Run: cloister doctor"
        case _:
            return (
                f"Cloister met something that it did not expect ({type(error).__name__} at "
                f"{_place(error)}). Run: cloister doctor"
            )


def _wrong_settings(error: ValidationError) -> str:
    """Name each wrong setting as the person wrote it, and what it may be."""
    found = []
    for item in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"])
        known = item["type"] != "extra_forbidden"
        what = item["msg"] if known else "there is no such setting"
        found.append(f"{name} (CLOISTER_{name.upper()}): {what}")
    return (
        "Wrong settings: " + "; ".join(found) + ". "
        "Mend them in the environment or in etc/cloister/appliance.toml of the state tree."
    )


def _place(error: Exception) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return "?" if place is None else f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
