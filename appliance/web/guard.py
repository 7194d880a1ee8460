"""The one check before every page: a session, the right role, and the form's own secret."""

from __future__ import annotations

from typing import Final, NoReturn
from urllib.parse import urlencode

from flask import Response, current_app, request, url_for
from werkzeug.exceptions import Forbidden, Unauthorized

from appliance.identity.events import Event
from appliance.web.access import Rule, rule_of
from appliance.web.redirect import see_other
from appliance.web.services import services
from appliance.web.session import account, check_csrf, current_token, load_session

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
EVENT_STREAM: Final = "text/event-stream"


class RoleMissingError(Forbidden):
    """The account lacks the role that a page needs."""


def guard() -> Response | None:
    """Let the request through, send it to where it must go first, or refuse it.

    Raises:
        Unauthorized: A script's request came without a session.
        RoleMissingError: The account has none of the roles; the log has a record of it.
        CsrfError: The form was not made for whoever is signed in.
    """
    if request.endpoint is None:
        return None
    rule = rule_of(current_app, request.endpoint)
    if rule is None or rule.public:
        return None
    if load_session(used=not rule.background) is None:
        return _to_sign_in(rule)
    if request.method not in _SAFE:
        check_csrf()
    if account().must_change and not rule.with_old_password:
        if rule.background:
            raise Unauthorized
        return see_other(url_for("signin.first_password_form"))
    _check_role(rule)
    return None


def wants_events() -> bool:
    """Whether the request comes from our streaming module, which reads events and fragments."""
    return EVENT_STREAM in request.headers.get("Accept", "")


def local_path(path: str | None) -> str | None:
    """`path` if it is one of ours to go on to after the sign-in, else None.

    Backslashes and a second slash would make browsers read a host name out of it.
    """
    if not path or not path.startswith("/") or path.startswith("//") or "\\" in path:
        return None
    return path if path.isprintable() else None


def _to_sign_in(rule: Rule) -> Response:
    if wants_events() or rule.background:
        raise Unauthorized
    query = {"done": "expired"} if current_token() else {}
    if request.method == "GET" and request.path != "/":
        query["next"] = request.path
    target = url_for("signin.show")
    return see_other(f"{target}?{urlencode(query)}" if query else target)


def refuse(what: str) -> NoReturn:
    """Refuse who is signed in for want of a role, once the log has a record of it.

    Args:
        what: Path of the page.

    Raises:
        RoleMissingError: Always.
        LogUnavailableError: The log did not take the record.
    """
    services().identity_log.write(Event.ACCESS_REFUSED, account().name, path=what)
    raise RoleMissingError


def _check_role(rule: Rule) -> None:
    if not rule.admits(account().roles):
        refuse(request.path)
