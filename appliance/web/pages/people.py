"""People: accounts, their roles, and one-time passwords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response, make_response, render_template, request, url_for
from werkzeug.exceptions import NotFound

from appliance.identity import Account, Role
from appliance.identity.errors import IdentityError, UnknownAccountError
from appliance.web.access import needs
from appliance.web.redirect import see_other
from appliance.web.services import services
from appliance.web.session import account
from appliance.web.words import ROLE_TITLES, ROLE_WORK

blueprint = Blueprint("people", __name__)


@dataclass(frozen=True)
class RoleChoice:
    """A role as a box to tick."""

    name: str
    title: str
    does: str


@dataclass(frozen=True)
class OneTime:
    """A one-time password, shown once."""

    name: str
    password: str


_CHOICES: Final = [RoleChoice(role.value, ROLE_TITLES[role], ROLE_WORK[role]) for role in Role]


@blueprint.get("/people")
@needs(Role.ADMIN)
def show() -> str:
    """All accounts, and the form for a new one."""
    return _list()


@blueprint.post("/people")
@needs(Role.ADMIN)
def create() -> Response:
    """Make an account and show its one-time password this once."""
    name, roles = request.form.get("name", ""), request.form.getlist("roles")
    try:
        password = services().accounts.create(name, roles, actor=account().name)
    except IdentityError as error:
        return make_response(_list(name=name, roles=roles, error=str(error)), 400)
    return make_response(_list(one_time=OneTime(name.strip().lower(), password)))


@blueprint.get("/people/<name>")
@needs(Role.ADMIN)
def person(name: str) -> str:
    """One account: roles, password, whether it may sign in."""
    return _person(name)


@blueprint.post("/people/<name>/roles")
@needs(Role.ADMIN)
def set_roles(name: str) -> Response:
    """Give the account other roles."""
    roles = request.form.getlist("roles")
    try:
        services().accounts.set_roles(name, roles, actor=account().name)
    except UnknownAccountError:
        raise NotFound from None
    except IdentityError as error:
        return make_response(_person(name, roles=roles, error=str(error)), 400)
    return see_other(url_for("people.person", name=name, done="roles"))


@blueprint.post("/people/<name>/reset")
@needs(Role.ADMIN)
def reset(name: str) -> Response:
    """Give the account a new one-time password and show it this once."""
    try:
        password = services().accounts.reset(name, actor=account().name)
    except UnknownAccountError:
        raise NotFound from None
    return make_response(_person(name, one_time=OneTime(name, password)))


@blueprint.post("/people/<name>/disable")
@needs(Role.ADMIN)
def disable(name: str) -> Response:
    """Let the account sign in no longer."""
    try:
        services().accounts.disable(name, actor=account().name)
    except UnknownAccountError:
        raise NotFound from None
    except IdentityError as error:
        return make_response(_person(name, error=str(error)), 400)
    return see_other(url_for("people.person", name=name, done="disabled"))


@blueprint.post("/people/<name>/enable")
@needs(Role.ADMIN)
def enable(name: str) -> Response:
    """Let the account sign in again."""
    try:
        services().accounts.enable(name, actor=account().name)
    except UnknownAccountError:
        raise NotFound from None
    return see_other(url_for("people.person", name=name, done="enabled"))


def _list(
    *,
    name: str = "",
    roles: list[str] | None = None,
    error: str = "",
    one_time: OneTime | None = None,
) -> str:
    return render_template(
        "pages/people.html",
        people=services().accounts.list(),
        choices=_CHOICES,
        name=name,
        chosen=["user"] if roles is None else roles,
        error=error,
        one_time=one_time,
    )


def _person(
    name: str,
    *,
    roles: list[str] | None = None,
    error: str = "",
    one_time: OneTime | None = None,
) -> str:
    who = _account(name)
    return render_template(
        "pages/person.html",
        person=who,
        choices=_CHOICES,
        chosen=[role.value for role in who.roles] if roles is None else roles,
        error=error,
        one_time=one_time,
    )


def _account(name: str) -> Account:
    try:
        return services().accounts.get(name)
    except UnknownAccountError:
        raise NotFound from None
