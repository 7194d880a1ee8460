"""Signing in and out, and the password that must be chosen first."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for

from appliance.identity import Session
from appliance.identity.errors import BadCredentialsError, DisabledError, LockedOutError
from appliance.web.access import public, with_old_password
from appliance.web.client import address
from appliance.web.guard import local_path
from appliance.web.notes import note_of_request
from appliance.web.pages.passwords import PASSWORD_RULE, change_own_password
from appliance.web.redirect import see_other
from appliance.web.services import services
from appliance.web.session import (
    check_door,
    current_token,
    door_token,
    forget,
    keep,
    load_session,
    set_door,
)
from appliance.web.words import wait_of
from audit.errors import LogUnavailableError

blueprint = Blueprint("signin", __name__)
_LONGEST_NAME: Final = 64


@blueprint.get("/sign-in")
@public
def show() -> Response:
    """The sign-in form; who is signed in already goes to the tasks."""
    if load_session() is not None:
        return see_other(url_for("home.show"))
    note = note_of_request()
    return _form("", request.args.get("next"), info=None if note is None else note.text)


@blueprint.post("/sign-in")
@public
def sign_in() -> Response:
    """Check name and password; open a session or say why not."""
    check_door()
    name, target = request.form.get("name", "")[:_LONGEST_NAME], request.form.get("next")
    try:
        session = _open(name, request.form.get("password", ""))
    except LockedOutError as error:
        wait = wait_of(error.retry_after)
        sentence = f"Too many failed tries with this name from here. Try again in {wait}."
        response = _form(name, target, error=sentence, status=429)
        response.headers["Retry-After"] = str(error.retry_after)
        return response
    except (BadCredentialsError, DisabledError) as error:
        return _form(name, target, error=str(error), status=401)
    response = see_other(_first_page(session, target))
    keep(response, session)
    return response


@blueprint.post("/sign-out")
@with_old_password
def sign_out() -> Response:
    """End the session."""
    session = load_session()
    response = see_other(url_for("signin.show", done="bye"))
    forget(response)
    if session is not None:
        try:
            services().sessions.close(session)
        except LogUnavailableError:
            # The session is over all the same: a person must be able to leave at any time.
            current_app.logger.warning("a sign-out was not recorded: the log does not answer")
    return response


@blueprint.get("/password")
@with_old_password
def first_password_form() -> str:
    """The form that an account with a one-time password has to fill in first."""
    return _first_password({})


@blueprint.post("/password")
@with_old_password
def first_password() -> Response:
    """Replace the one-time password; the browser gets a new session."""
    change = change_own_password()
    if change.session is None:
        return make_response(_first_password(change.errors), 400)
    response = see_other(url_for("home.show", done="password"))
    keep(response, change.session)
    return response


def _open(name: str, password: str) -> Session:
    who = services().accounts.authenticate(name, password, address())
    return services().sessions.open(who, address(), previous=current_token())


def _first_page(session: Session, target: str | None) -> str:
    if session.account.must_change:
        return url_for("signin.first_password_form")
    return local_path(target) or url_for("home.show")


def _form(
    name: str,
    target: str | None,
    *,
    info: str | None = None,
    error: str | None = None,
    status: int = 200,
) -> Response:
    page = render_template(
        "pages/sign_in.html",
        name=name,
        next=local_path(target),
        info=info,
        error=error,
        door_token=door_token(),
    )
    response = make_response(page, status)
    set_door(response)
    return response


def _first_password(errors: dict[str, str]) -> str:
    return render_template("pages/first_password.html", errors=errors, password_rule=PASSWORD_RULE)
