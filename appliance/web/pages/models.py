"""Models on this appliance and how they stand."""

from __future__ import annotations

from flask import Blueprint, render_template

from appliance.identity import Role
from appliance.web import state
from appliance.web.access import needs

blueprint = Blueprint("models", __name__)


@blueprint.get("/models")
@needs(Role.OPERATOR, Role.ADMIN)
def show() -> str:
    """Every model with its state; says so where the engine does not answer."""
    models = state.model_list()
    shown = None if models is None else [(model, state.of_model(model)) for model in models]
    return render_template("pages/models.html", models=shown)
