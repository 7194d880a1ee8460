"""The parts of the appliance and whether each works."""

from __future__ import annotations

from flask import Blueprint, render_template
from sqlalchemy.exc import SQLAlchemyError

from appliance.identity import Role
from appliance.web import state
from appliance.web.access import needs
from appliance.web.log.exposure import Exposure, exposure
from appliance.web.services import services
from appliance.web.state import Part, Standing

blueprint = Blueprint("system", __name__)


@blueprint.get("/system")
@needs(Role.ADMIN, Role.OPERATOR)
def show() -> str:
    """Readiness, part by part."""
    return render_template("pages/system.html", parts=parts())


def parts() -> list[Part]:
    """Log, engine, models and app database, each with its state and what to do."""
    status = state.log_status()
    found = [Part("Audit log", state.of_log(status))]
    if status is not None:
        found.append(Part("Witness of the log", _witness(exposure(status))))
    found.append(Part("App database", _database()))
    models = state.model_list()
    if models is None:
        down = Standing("bad", "Does not answer", "The engine's service does not run.")
        return [*found, Part("Engine", down)]
    found.append(Part("Engine", Standing("ok", "Answers")))
    return [*found, *(Part(f"Model {model.id}", state.of_model(model)) for model in models)]


def _witness(found: Exposure) -> Standing:
    words = f"{found.unseen:,} records that no outsider has seen"
    advice = (
        "" if found.when else "Take a checkpoint to a witness: cloister audit checkpoint --help"
    )
    return Standing(found.kind, words, advice)


def _database() -> Standing:
    try:
        services().database.ping()
    except SQLAlchemyError:
        return Standing("bad", "Does not answer", "Look at the disk that holds the app database.")
    return Standing("ok", "Answers")
