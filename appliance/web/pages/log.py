"""The log for officers: how long it is, what its head is, and how to check it."""

from __future__ import annotations

from flask import Blueprint, render_template

from appliance.identity import Role
from appliance.web import state
from appliance.web.access import needs
from appliance.web.log.exposure import exposure

blueprint = Blueprint("log", __name__)


@blueprint.get("/log")
@needs(Role.OFFICER)
def show() -> str:
    """Size, root, identity and last checkpoint of the log."""
    status = state.log_status()
    return render_template(
        "pages/log.html",
        log=status,
        standing=state.of_log(status),
        exposure=None if status is None else exposure(status),
    )
