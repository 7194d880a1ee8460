"""The menu: what an account's roles open, in fixed groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import current_app, request, url_for

from appliance.web.access import rule_of
from appliance.web.session import load_session


@dataclass(frozen=True)
class Link:
    """One entry of the menu; `here` marks the page that is open."""

    title: str
    icon: str
    href: str
    here: bool


@dataclass(frozen=True)
class Group:
    """Entries under one heading."""

    title: str
    links: tuple[Link, ...]


_MENU: Final = (
    ("Work", (("home.show", "Tasks", "tasks"), ("receipts.latest", "Receipts", "receipt"))),
    ("Operate", (("models.show", "Models", "model"), ("keys.show", "API keys", "key"))),
    ("Oversee", (("log.show", "Log", "log"),)),
    ("Administer", (("people.show", "People", "people"), ("system.show", "System", "system"))),
    ("You", (("account.show", "Account", "account"),)),
)


_TABS: Final = (
    ("log.show", "Overview"),
    ("records.show", "Records"),
    ("together.show", "Openings"),
    ("taking.show", "Export"),
    ("outside.show", "Witnesses"),
)
"""The pages of the log, as (endpoint, title)."""


def log_tabs() -> tuple[tuple[str, str], ...]:
    """The pages of the log in order."""
    return _TABS


def navigation() -> list[Group]:
    """The menu of who is signed in; groups with nothing in them are left out."""
    groups = [Group(title, tuple(_links(entries))) for title, entries in _MENU]
    return [group for group in groups if group.links]


def _links(entries: tuple[tuple[str, str, str], ...]) -> list[Link]:
    session = load_session()
    if session is None:
        return []
    links = []
    for endpoint, title, icon in entries:
        rule = rule_of(current_app, endpoint)
        if rule is not None and rule.admits(session.account.roles):
            links.append(Link(title, icon, url_for(endpoint), _is_here(endpoint)))
    return links


def _is_here(endpoint: str) -> bool:
    blueprint = endpoint.partition(".")[0]
    # A task is opened from the list of tasks, and a page of the log from its tabs.
    parents = {"task": "home"} | {tab.partition(".")[0]: "log" for tab, _ in _TABS}
    return parents.get(request.blueprint or "", request.blueprint) == blueprint
