"""Debian's Chromium, headless, and what the tests and the screenshots do with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.stack import Credentials, Stack

CHROMIUM = shutil.which("chromium")
# Chromium's own services would look for hosts that are not ours.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 390, "height": 844}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        yield browser
        browser.close()


def sign_in(page: Page, stack: Stack, who: Credentials) -> None:
    """Sign in; returns on the first page."""
    page.goto(f"{stack.url}/sign-in")
    page.get_by_label("Name").fill(who.name)
    page.get_by_label("Password").fill(who.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{stack.url}/")


def open_log(page: Page, stack: Stack, where: str, group: str, reason: str) -> None:
    """Begin an officer's sitting on one of the log's pages, with the demo key of a group."""
    page.goto(f"{stack.url}/log/{where}")
    page.get_by_label("Key file").set_input_files(stack.settings.root / f"officers/{group}.key")
    page.get_by_label("Why you look").fill(reason)
    page.get_by_role("button", name="Open the log").click()
    page.get_by_role("button", name="Put the key away").wait_for()


def run_example(page: Page, stack: Stack, task: str) -> None:
    """Run a task on its own example, to the receipt."""
    page.goto(f"{stack.url}/tasks/{task}?example=1")
    page.get_by_role("button", name="Run this task").click()
    page.get_by_role("heading", name="Receipt").wait_for()
