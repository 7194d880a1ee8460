"""One appliance and one browser for all tests; each test watches what its pages ask for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    StorageState,
)

from tests.browser import browsers
from tests.browser.browsers import WIDE
from tests.support.stack import Credentials, Stack

_numbers = itertools.count(1)
_TIMEOUT_MS = 60_000


@dataclass
class Seen:
    """What the pages of a test asked for and complained about."""

    host: str
    other_hosts: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        """Take note of a request."""
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "about"} and parts.netloc != self.host:
            self.other_hosts.append(request.url)

    def console(self, message: ConsoleMessage) -> None:
        """Take note of what the browser or a script says; a page's own error status is no fault."""
        status = message.text.startswith("Failed to load resource: the server responded with")
        if message.type in {"error", "warning"} and not status:
            self.complaints.append(message.text)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.start(tmp_path_factory.mktemp("browser"))
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if browsers.CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with browsers.chromium() as browser:
        yield browser


@pytest.fixture
def open_context(browser: Browser, stack: Stack) -> Iterator[Callable[..., BrowserContext]]:
    """Opens browser windows; at the end of the test nothing may have gone elsewhere."""
    seen = Seen(urlsplit(stack.url).netloc)
    opened: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:  # noqa: ANN401 - Playwright's
        context = browser.new_context(**({"viewport": WIDE} | options))
        context.set_default_timeout(_TIMEOUT_MS)
        context.on("request", seen.request)
        context.on("console", seen.console)
        context.on("weberror", lambda error: seen.complaints.append(str(error.error)))
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()
    assert seen.other_hosts == []
    assert seen.complaints == []


@pytest.fixture
def page(open_context: Callable[..., BrowserContext]) -> Page:
    """A wide window without a session."""
    return open_context().new_page()


@pytest.fixture(scope="session")
def person(stack: Stack) -> Callable[..., Credentials]:
    """Makes accounts with names that no other test uses."""
    return lambda *roles: stack.create_user(f"person-{next(_numbers)}", *roles)


@pytest.fixture(scope="session")
def staff(person: Callable[..., Credentials]) -> Credentials:
    """A person of the role user, for tests that leave the account as it is."""
    return person("user")


@pytest.fixture(scope="session")
def manager(person: Callable[..., Credentials]) -> Credentials:
    """A person who opens every page but the log."""
    return person("user", "operator", "admin")


@pytest.fixture(scope="session")
def officer(person: Callable[..., Credentials]) -> Credentials:
    """A person who opens the log."""
    return person("officer")


@pytest.fixture(scope="session")
def staff_state(browser: Browser, stack: Stack, staff: Credentials) -> StorageState:
    """The cookies of a session of `staff`, so that not every test has to sign in."""
    context = browser.new_context()
    browsers.sign_in(context.new_page(), stack, staff)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(scope="session")
def officer_state(browser: Browser, stack: Stack, officer: Credentials) -> StorageState:
    """The cookies of a session of `officer`."""
    context = browser.new_context()
    browsers.sign_in(context.new_page(), stack, officer)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def officer_page(open_context: Callable[..., BrowserContext], officer_state: StorageState) -> Page:
    """A wide window in which `officer` is signed in."""
    return open_context(storage_state=officer_state).new_page()


@pytest.fixture
def staff_page(open_context: Callable[..., BrowserContext], staff_state: StorageState) -> Page:
    """A wide window in which `staff` is signed in."""
    return open_context(storage_state=staff_state).new_page()
