"""Who may open which view: nothing is open that does not say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from flask import Flask

from appliance.identity.roles import Role

GUARDED_BY_THEMSELVES: Final = frozenset({"api", "health"})
"""Blueprints that authenticate by API key or show no data; the pages' rules do not apply."""


@dataclass(frozen=True)
class Rule:
    """Who may open a view.

    Args:
        public: Open without a session.
        roles: An account needs one of these; empty means that any account may.
        with_old_password: Open to an account that must first choose a new password.
        background: Asked for by an open page on its own, so that it is no use of the session;
            without one it is a 401 instead of a way to the sign-in.
    """

    public: bool = False
    roles: frozenset[Role] = frozenset()
    with_old_password: bool = False
    background: bool = False

    def admits(self, held: frozenset[Role]) -> bool:
        """Whether an account with the roles `held` may open the view."""
        return not self.roles or bool(self.roles & held)


PUBLIC: Final = Rule(public=True)
_View = TypeVar("_View", bound=Callable[..., Any])
_rules: dict[Callable[..., Any], Rule] = {}


class UnguardedViewError(Exception):
    """A view was registered that does not say who may open it."""


def public(view: _View) -> _View:
    """Open the view to everyone."""
    _rules[view] = PUBLIC
    return view


def signed_in(view: _View) -> _View:
    """Open the view to every account."""
    _rules[view] = Rule()
    return view


def with_old_password(view: _View) -> _View:
    """Open the view to every account, also before the first password was changed."""
    _rules[view] = Rule(with_old_password=True)
    return view


def needs(*roles: Role, background: bool = False) -> Callable[[_View], _View]:
    """Open the view to accounts that hold one of `roles`; `background` as in `Rule`."""

    def mark(view: _View) -> _View:
        _rules[view] = Rule(roles=frozenset(roles), background=background)
        return view

    return mark


def rule_of(app: Flask, endpoint: str) -> Rule | None:
    """The rule of an endpoint; None where the endpoint's blueprint guards itself."""
    if endpoint == "static":
        return PUBLIC
    if endpoint.partition(".")[0] in GUARDED_BY_THEMSELVES:
        return None
    return _rules[app.view_functions[endpoint]]


def check_all(app: Flask) -> None:
    """Refuse to start with a view that nobody guards.

    Raises:
        UnguardedViewError: A view has no rule; give it one of this module's decorators.
    """
    for endpoint in app.view_functions:
        try:
            rule_of(app, endpoint)
        except KeyError:
            raise UnguardedViewError(f"the view {endpoint!r} has no access rule") from None
