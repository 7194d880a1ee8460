"""The figures on the page Models renew themselves, stop when told to, and say when they can not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Response, expect

from tests.browser.browsers import sign_in
from tests.support.stack import Credentials, Stack
from tests.support.streaming import streaming
from tests.support.wait import wait_until

pytestmark = pytest.mark.browser
NOW = "**/models/now"
AWAY = "The engine does not answer. These are the last figures; it is asked again by itself."


@pytest.fixture
def operator(person: Callable[..., Credentials]) -> Credentials:
    return person("operator")


@pytest.fixture
def models(stack: Stack, page: Page, operator: Credentials) -> Page:
    """The page Models, on which time only passes when a test says so."""
    sign_in(page, stack, operator)
    _wait_idle(stack)
    page.clock.install(time=0)
    page.goto(f"{stack.url}/models")
    page.clock.pause_at(60_000)
    return page


def _cell(page: Page, label: str) -> Locator:
    return page.locator(f"td[data-label='{label}']")


def _renewed(page: Page, seconds: int) -> Response:
    """Let so many seconds pass, in which the page asks for figures."""
    with page.expect_response(NOW) as found:
        page.clock.run_for(seconds * 1000)
    expect(page.locator("#now")).to_have_attribute("aria-busy", "false")
    return found.value


def _read(page: Page) -> None:
    """Let the page read figures; an engine that a busy machine makes slow is asked again."""
    assert any(_renewed(page, seconds).status == 200 for seconds in (3, 6, 12, 24))


def _wait_idle(stack: Stack) -> None:
    wait_until(lambda: stack.engine.models()[0].in_use == 0, 20, "free sequence")


def _asks_nothing(page: Page, seconds: int) -> None:
    """Let so many seconds pass, in which the page asks for nothing."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(seconds * 1000)
    page.evaluate("0")  # whatever a timer began has been told by now
    assert asked == []


def test_the_figures_follow_a_running_answer_until_paused(stack: Stack, models: Page) -> None:
    expect(_cell(models, "Sequences")).to_have_text("0 of 16")
    speed = models.locator(".speed")
    with streaming(stack):
        while _cell(models, "Sequences").inner_text() != "1 of 16" or speed.inner_text() == "0.0":
            _read(models)
        pause = models.get_by_role("button", name="Pause")
        pause.focus()
        models.keyboard.press("Enter")
        expect(
            models.get_by_text("Paused. The figures stay as they were read last.")
        ).to_be_visible()
        _asks_nothing(models, 60)
    _wait_idle(stack)
    expect(_cell(models, "Sequences")).to_have_text("1 of 16")
    with models.expect_response(NOW):
        models.keyboard.press("Enter")
    expect(models.get_by_role("button", name="Pause")).to_be_focused()
    expect(_cell(models, "Sequences")).to_have_text("0 of 16")


def test_an_engine_that_dies_leaves_the_last_figures_and_is_asked_less_and_less(
    stack: Stack, models: Page
) -> None:
    board = models.locator("#now")
    read = board.locator("time").inner_text()
    stack.kill("engine")
    try:
        assert _renewed(models, 3).status == 503
        expect(models.get_by_text(AWAY)).to_be_visible()
        expect(board).to_have_class("stack is-stale")
        assert board.locator("time").inner_text() == read
        _asks_nothing(models, 5)
        assert _renewed(models, 1).status == 503
        _asks_nothing(models, 11)
        assert _renewed(models, 1).status == 503
    finally:
        stack.restart("engine")
    assert _renewed(models, 24).status == 200
    expect(models.get_by_text("Renewed every 3 seconds.")).to_be_visible()
    expect(board).to_have_class("stack")
    assert _renewed(models, 3).status == 200


def test_a_session_that_ended_takes_the_figures_away_and_leads_to_the_sign_in(
    stack: Stack, models: Page, operator: Credentials
) -> None:
    idle = timedelta(minutes=stack.settings.session_idle_minutes)
    stack.leave_alone(operator, idle - timedelta(seconds=90))
    for _ in range(3):
        _read(models)
    stack.leave_alone(operator, idle)
    models.get_by_role("button", name="Pause").focus()
    assert _renewed(models, 3).status == 401
    expect(models.get_by_text("You were signed out")).to_be_visible()
    expect(models.locator("#now table")).to_have_count(0)
    expect(models.get_by_role("button", name="Pause")).to_be_hidden()
    link = models.get_by_role("link", name="Sign in again")
    expect(link).to_be_focused()
    _asks_nothing(models, 60)
    link.click()
    models.get_by_label("Name").fill(operator.name)
    models.get_by_label("Password").fill(operator.password)
    models.get_by_role("button", name="Sign in").click()
    expect(models.get_by_role("heading", name="Models", level=1)).to_be_visible()


def test_nothing_is_asked_for_while_nobody_can_see_the_page(models: Page) -> None:
    _show(models, hidden=True)
    _asks_nothing(models, 60)
    with models.expect_response(NOW) as found:
        _show(models, hidden=False)
    assert found.value.status == 200


def _show(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_without_scripts_a_link_reads_the_figures_again(
    stack: Stack, open_context: Callable[..., BrowserContext], operator: Credentials
) -> None:
    page = open_context(java_script_enabled=False).new_page()
    sign_in(page, stack, operator)
    page.goto(f"{stack.url}/models")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    expect(page.get_by_text("The figures of one moment.")).to_be_visible()
    page.get_by_role("link", name="Read again").click()
    expect(_cell(page, "Sequences")).to_have_text("0 of 16")
