"""Every page: nothing scrolls sideways, nothing is inline, axe finds no fault in either theme."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.browsers import NARROW, WIDE, open_log, run_example, sign_in
from tests.support.stack import Credentials, Stack

pytestmark = pytest.mark.browser
Theme = Literal["light", "dark"]
AXE_VERSION = "4.14.1"
BUILD = Path(__file__).resolve().parents[2] / "build/axe"
STAFF_PAGES = ["/", "/tasks/deidentify?example=1", "/receipts", "/account"]
MANAGER_PAGES = ["/models", "/keys", "/people", "/system", "/nowhere", "/log"]
OFFICER_PAGES = [
    "/log",
    "/log/records",
    "/log/openings",
    "/log/export",
    "/log/witness",
    "/log/witness/sheet",
]
INLINE = """() => [...document.querySelectorAll('*')].filter((element) =>
    element.tagName === 'STYLE' || (element.tagName === 'SCRIPT' && !element.src)
    || [...element.attributes].some(({name}) => name === 'style' || name.startsWith('on'))
).map((element) => element.outerHTML)"""
SMALL = """() => [...document.querySelectorAll('a, button, input, select, textarea, summary')]
    .filter((element) => element.checkVisibility() && element.type !== 'hidden'
        && !element.closest('p, li, dd, label, .skip') && !element.matches('.skip'))
    .filter((element) => {
        const {width, height} = element.getBoundingClientRect();
        return width < 24 || height < 24;
    }).map((element) => element.outerHTML)"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, from the npm registry or from an earlier run."""
    source = BUILD / f"{AXE_VERSION}.js"
    if not source.exists():
        _fetch_axe(source)
    return source.read_text("utf-8")


def _fetch_axe(source: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"WCAG was not checked: axe-core is neither in {source} nor is npm here")
    BUILD.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [npm, "install", "--no-save", "--prefix", BUILD, f"axe-core@{AXE_VERSION}"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"WCAG was not checked: npm could not fetch axe-core {AXE_VERSION}")
    shutil.copyfile(BUILD / "node_modules/axe-core/axe.min.js", source)


def _pages(stack: Stack, page: Page, manager: Credentials, officer: Credentials) -> Iterator[str]:
    """Open every page one after another; yields the name of the one that is open."""
    for path in ("/sign-in", "/nowhere"):
        page.goto(stack.url + path)
        yield f"{path} signed out"
    sign_in(page, stack, manager)
    for path in [*STAFF_PAGES, *MANAGER_PAGES, f"/people/{manager.name}"]:
        page.goto(stack.url + path)
        yield path
    for task in ("deidentify", "triage"):
        run_example(page, stack, task)
        yield f"answer of {task}"
    page.get_by_role("link", name="Whole receipt, for print").click()
    page.get_by_role("heading", name="Where the log holds it").wait_for()
    yield "receipt"
    page.goto(f"{stack.url}/people")
    page.get_by_label("Name to sign in with").fill("no such name!")
    page.get_by_role("button", name="Add person").click()
    yield "people with an error"
    page.context.clear_cookies()
    sign_in(page, stack, officer)
    for path in ("/", *OFFICER_PAGES):
        page.goto(stack.url + path)
        yield f"{path} of an officer"
    open_log(page, stack, "records", "compliance", "To look at every page")
    yield "records with a key"
    page.get_by_label("Kind of record").select_option("answer")
    page.get_by_role("button", name="Search").click()
    page.get_by_label("Choose record").first.check()
    yield "records that were found"
    page.locator("[data-table] .link").first.click()
    page.get_by_text("Stands in the tree").wait_for()
    yield "a record"
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Timeline").click()
    yield "a timeline"
    page.get_by_role("button", name="Ask to open the contents").click()
    page.get_by_label("Why you have to read them").fill("To look at every page")
    yield "asking for contents"
    page.get_by_role("button", name="Ask", exact=True).click()
    open_log(page, stack, "openings", "compliance", "To look at every page")
    page.get_by_text("Waits for an answer").first.wait_for()
    yield "a request of one's own"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault_on_any_page(
    stack: Stack,
    open_context: Callable[..., BrowserContext],
    manager: Credentials,
    officer: Credentials,
    theme: Theme,
    axe: str,
) -> None:
    page = open_context(color_scheme=theme).new_page()
    for name in _pages(stack, page, manager, officer):
        page.evaluate(axe)
        found = page.evaluate("async () => (await axe.run()).violations")
        assert [_in_short(one) for one in found] == [], name


def _in_short(violation: dict[str, Any]) -> str:
    places = "; ".join(node["html"][:120] for node in violation["nodes"][:3])
    return f"{violation['id']}: {places}"


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_scrolls_sideways_has_inline_code_or_too_small_targets(
    stack: Stack,
    open_context: Callable[..., BrowserContext],
    manager: Credentials,
    officer: Credentials,
    viewport: dict[str, int],
) -> None:
    page = open_context(viewport=viewport).new_page()
    for name in _pages(stack, page, manager, officer):
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), name
        assert page.evaluate(INLINE) == [], name
        assert page.evaluate(SMALL) == [], name
        assert page.locator("h1").count() == 1, name
        assert page.get_by_role("main").count() == 1, name


def test_the_menu_works_on_a_narrow_screen_without_scripts(
    stack: Stack, open_context: Callable[..., BrowserContext], staff: Credentials
) -> None:
    page = open_context(viewport=NARROW, java_script_enabled=False).new_page()
    sign_in(page, stack, staff)
    expect(page.get_by_role("link", name="Receipts")).to_be_hidden()
    page.get_by_text("Menu").click()
    page.get_by_role("link", name="Receipts").click()
    expect(page.get_by_role("heading", name="Receipts", level=1)).to_be_visible()
