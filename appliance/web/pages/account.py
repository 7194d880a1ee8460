"""One's own account: the password and the open sessions."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, make_response, render_template, request, url_for
from werkzeug.exceptions import Forbidden

from appliance.identity import Session
from appliance.identity.own_sessions import end_sessions, open_sessions
from appliance.web.access import signed_in
from appliance.web.pages.passwords import PASSWORD_RULE, change_own_password
from appliance.web.redirect import see_other
from appliance.web.services import services
from appliance.web.session import keep, load_session

blueprint = Blueprint("account", __name__)


@blueprint.get("/account")
@signed_in
def show() -> str:
    """Who one is, the form for a new password, the open sessions."""
    return _page({})


@blueprint.post("/account/password")
@signed_in
def change_password() -> Response:
    """Change the password; the other sessions end and this browser gets a new one."""
    change = change_own_password()
    if change.session is None:
        return make_response(_page(change.errors), 400)
    response = see_other(url_for("account.show", done="password"))
    keep(response, change.session)
    return response


@blueprint.post("/account/sessions/end")
@signed_in
def end_session() -> Response:
    """End one other session, or all others."""
    kept = services()
    only = request.form.get("session") or None
    end_sessions(kept.database, kept.identity_log, _session(), only)
    done = "sessions-ended" if only is None else "session-ended"
    return see_other(url_for("account.show", done=done))


def _session() -> Session:
    session = load_session()
    if session is None:
        raise Forbidden
    return session


def _page(errors: dict[str, str]) -> str:
    return render_template(
        "pages/account.html",
        errors=errors,
        password_rule=PASSWORD_RULE,
        sessions=open_sessions(services().database, _session(), datetime.now(UTC)),
    )
