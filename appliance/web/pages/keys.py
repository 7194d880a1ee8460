"""API keys of line-of-business systems."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from flask import Blueprint, Response, make_response, render_template, request, url_for

from appliance.identity import Role
from appliance.identity.errors import IdentityError, UnknownKeyError
from appliance.web.access import needs
from appliance.web.redirect import see_other
from appliance.web.services import services
from appliance.web.session import account

blueprint = Blueprint("keys", __name__)
_LIFETIMES: Final = {"90": "90 days", "365": "1 year", "": "No end"}


@blueprint.get("/keys")
@needs(Role.OPERATOR, Role.ADMIN)
def show() -> str:
    """All live keys, and the form for a new one."""
    return _page()


@blueprint.post("/keys")
@needs(Role.OPERATOR, Role.ADMIN)
def create() -> Response:
    """Make a key and show it this once; it is in no address, cookie or file."""
    name = request.form.get("name", "")
    tasks = request.form.getlist("tasks")
    days = request.form.get("lifetime", "")
    try:
        key = services().keys.create(
            name,
            actor=account().name,
            owner=account().name,
            tasks=tasks or None,
            lifetime=timedelta(days=int(days)) if days in _LIFETIMES and days else None,
        )
    except IdentityError as error:
        return make_response(_page(name=name, error=str(error)), 400)
    return make_response(_page(key=key))


@blueprint.post("/keys/revoke")
@needs(Role.OPERATOR, Role.ADMIN)
def revoke() -> Response:
    """Stop a key for good; one that is gone already is fine too."""
    try:
        services().keys.revoke(request.form.get("prefix", ""), actor=account().name)
    except UnknownKeyError:
        return see_other(url_for("keys.show"))
    return see_other(url_for("keys.show", done="revoked"))


def _page(*, name: str = "", error: str = "", key: str = "") -> str:
    return render_template(
        "pages/keys.html",
        keys=services().keys.list(),
        tasks=list(services().tasks),
        lifetimes=_LIFETIMES,
        name=name,
        error=error,
        key=key,
    )
