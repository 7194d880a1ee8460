"""One appliance for all tests of the pages, and a browser without scripts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from html import unescape

import httpx
import pytest

from tests.support.stack import Credentials, Stack

_numbers = itertools.count(1)


class Visitor:
    """Reads pages and sends forms as a browser without scripts does."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def get(self, path: str) -> httpx.Response:
        """Open a page; redirects are followed."""
        return self.http.get(path, follow_redirects=True)

    def csrf(self, path: str) -> str:
        """The secret of the last form on a page."""
        found = re.findall(r'name="csrf" value="([^"]*)"', self.get(path).text)
        assert found, path
        return unescape(found[-1])

    def post(
        self, path: str, fields: dict[str, str | list[str]] | None = None, page: str = "/account"
    ) -> httpx.Response:
        """Send a form that stands on `page`; redirects are followed."""
        form = {"csrf": self.csrf(page), **(fields or {})}
        return self.http.post(path, data=form, follow_redirects=True)

    def sign_in(self, who: Credentials) -> httpx.Response:
        """Sign in; the page after it."""
        fields = {"name": who.name, "password": who.password}
        return self.post("/sign-in", fields, page="/sign-in")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.start(tmp_path_factory.mktemp("pages"))
    yield stack
    stack.stop()


@pytest.fixture
def visitor(stack: Stack) -> Iterator[Visitor]:
    """A visitor without a session."""
    with stack.http() as http:
        yield Visitor(http)


@pytest.fixture(scope="session")
def person(stack: Stack) -> Callable[..., Credentials]:
    """Makes accounts with names that no other test uses."""
    return lambda *roles: stack.create_user(f"person-{next(_numbers)}", *roles)


@pytest.fixture(scope="session")
def member(stack: Stack, person: Callable[..., Credentials]) -> Iterator[Visitor]:
    """A visitor with the role user, who stays signed in for all tests."""
    with stack.http() as http:
        member = Visitor(http)
        member.sign_in(person("user"))
        yield member


@pytest.fixture(scope="session")
def stranger(stack: Stack, person: Callable[..., Credentials]) -> Iterator[Visitor]:
    """Another visitor with the role user, who stays signed in for all tests."""
    with stack.http() as http:
        stranger = Visitor(http)
        stranger.sign_in(person("user"))
        yield stranger
