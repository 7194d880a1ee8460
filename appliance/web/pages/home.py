"""The first page: the tasks that an account may run."""

from __future__ import annotations

from flask import Blueprint, render_template

from appliance.web import state
from appliance.web.access import signed_in
from appliance.web.services import services
from appliance.web.session import account

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
@signed_in
def show() -> str:
    """The tasks as cards, and whether they can run now."""
    tasks = services().tasks.visible_to(account().roles)
    return render_template(
        "pages/home.html",
        tasks=tasks,
        any_tasks=len(services().tasks) > 0,
        service=state.of_service(),
        notices=state.notices({task.model for task in tasks}),
    )
