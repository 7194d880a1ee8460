"""The browser's side of a session: its cookies, who is signed in, and the forms' secrets."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from flask import Response, current_app, g, request
from werkzeug.exceptions import Forbidden

from appliance.identity import Account, Session
from appliance.web.services import services

CSRF_FIELD: Final = "csrf"
_DOOR_BYTES: Final = 24
_SAME_SITE: Final = "Strict"


class CsrfError(Forbidden):
    """A form came without the secret of the session that it was made for."""

    description = (
        "This form is too old or was not made by this appliance. Nothing was changed. "
        "Open the page again and repeat what you did."
    )


def cookie_name(purpose: str) -> str:
    """Name of a cookie; over HTTPS it has the prefix that makes browsers hold it to one host."""
    return f"__Host-{purpose}" if current_app.config["HTTPS"] else purpose


def load_session(*, used: bool = True) -> Session | None:
    """Find the session that the request's cookie names, once a request.

    Args:
        used: Whether this counts as a person's use of it, which puts its idle end off.
    """
    if "session" not in g:
        token = request.cookies.get(cookie_name("cloister"))
        g.session = services().sessions.check(token, used=used)
    found: Session | None = g.session
    return found


def account() -> Account:
    """The account that is signed in; only for views that need one."""
    session = load_session()
    if session is None:
        raise Forbidden
    return session.account


def current_token() -> str | None:
    """The session token that the browser sent, valid or not."""
    return request.cookies.get(cookie_name("cloister"))


def keep(response: Response, session: Session) -> None:
    """Put a new session into the browser's cookie, which goes when the browser closes."""
    g.session = session
    _set(response, "cloister", session.token)


def forget(response: Response) -> None:
    """Take the session out of the browser."""
    response.delete_cookie(
        cookie_name("cloister"),
        secure=current_app.config["HTTPS"],
        httponly=True,
        samesite=_SAME_SITE,
    )


def csrf_token() -> str:
    """The secret for the forms of whoever is signed in."""
    session = load_session()
    return "" if session is None else session.csrf


def check_csrf() -> None:
    """Refuse a form that another site made the browser send.

    Raises:
        CsrfError: The form's secret is a wrong one, or the browser says that another site
            sent it (Fetch Metadata, `Sec-Fetch-Site`).
    """
    session = load_session()
    if _from_elsewhere() or session is None:
        raise CsrfError
    if not session.csrf_matches(request.form.get(CSRF_FIELD)):
        raise CsrfError


def door_token() -> str:
    """The secret of the sign-in form, which has no session yet: the same goes into a cookie."""
    if "door" not in g:
        g.door = request.cookies.get(cookie_name("door")) or secrets.token_urlsafe(_DOOR_BYTES)
    token: str = g.door
    return token


def set_door(response: Response) -> None:
    """Send the sign-in form's secret along as a cookie."""
    _set(response, "door", door_token())


def check_door() -> None:
    """Refuse a sign-in that another site made the browser send.

    Raises:
        CsrfError: Cookie and form do not carry the same secret.
    """
    sent = request.cookies.get(cookie_name("door"), "")
    given = request.form.get(CSRF_FIELD, "")
    same = hmac.compare_digest(sent.encode("utf-8", "replace"), given.encode("utf-8", "replace"))
    if _from_elsewhere() or not sent or not same:
        raise CsrfError


def _from_elsewhere() -> bool:
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}


def _set(response: Response, purpose: str, value: str) -> None:
    response.set_cookie(
        cookie_name(purpose),
        value,
        secure=current_app.config["HTTPS"],
        httponly=True,
        samesite=_SAME_SITE,
    )
