"""Staff run tasks in a real browser: by mouse, by keyboard, and without scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, StorageState, expect

from tests.browser.browsers import run_example, sign_in
from tests.support.stack import Credentials, Stack
from tests.support.wait import wait_until

pytestmark = pytest.mark.browser
TASKS = ["deidentify", "extract", "triage"]
LONG = "Mrs Helena Brandt was seen on 12 March 2026 and rang 0113 496 0822. " * 60
RECEIPT_KEYS = {"record_id", "model_digest", "template_digest", "outcome", "answer"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_runs_and_its_receipt_can_be_downloaded(
    stack: Stack, page: Page, staff: Credentials, task: str, tmp_path: Path
) -> None:
    sign_in(page, stack, staff)
    run_example(page, stack, task)
    record = page.locator(".receipt dd").first.inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download receipt").click()
    file = tmp_path / "receipt.json"
    download.value.save_as(file)
    receipt = json.loads(file.read_text())
    assert download.value.suggested_filename == f"receipt-{record}.json"
    assert receipt.keys() >= RECEIPT_KEYS
    assert receipt["record_id"] == record
    assert receipt["model_digest"] == stack.engine.models()[0].sha256


def test_the_answer_appears_while_it_is_written(stack: Stack, staff_page: Page) -> None:
    page = staff_page
    page.goto(f"{stack.url}/tasks/deidentify")
    page.get_by_label("Note").fill(LONG)
    page.get_by_role("button", name="Run this task").click()
    live = page.locator("[data-live]")
    expect(live).not_to_be_empty()
    before = len(live.inner_text())
    wait_until(lambda: len(live.inner_text()) > before, 30, "more text")
    expect(page.get_by_role("button", name="Run this task")).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("heading", name="Receipt").wait_for()


def test_a_task_stopped_midway_keeps_what_there_was_and_its_receipt(
    stack: Stack, staff_page: Page
) -> None:
    page = staff_page
    page.goto(f"{stack.url}/tasks/deidentify")
    page.get_by_label("Note").fill(LONG)
    page.get_by_role("button", name="Run this task").click()
    expect(page.locator("[data-live]")).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#answer").get_by_text("Stopped", exact=True)).to_be_visible()
    expect(page.locator("#answer-text")).not_to_be_empty()
    page.get_by_role("link", name="Whole receipt, for print").click()
    expect(page.get_by_text("Stopped by its user")).to_be_visible()
    wait_until(lambda: stack.engine.models()[0].in_use == 0, 20, "free sequence")


def test_leaving_the_page_frees_the_model(stack: Stack, staff_page: Page) -> None:
    page = staff_page
    page.goto(f"{stack.url}/tasks/deidentify")
    page.get_by_label("Note").fill(LONG)
    page.get_by_role("button", name="Run this task").click()
    expect(page.locator("[data-live]")).not_to_be_empty()
    page.goto(f"{stack.url}/")
    wait_until(lambda: stack.engine.models()[0].in_use == 0, 20, "free sequence")


def test_an_answer_can_be_copied_and_downloaded(
    stack: Stack,
    open_context: Callable[..., BrowserContext],
    staff_state: StorageState,
    tmp_path: Path,
) -> None:
    page = open_context(storage_state=staff_state, permissions=["clipboard-write"]).new_page()
    run_example(page, stack, "triage")
    text = page.locator("#answer-text").text_content()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    # The page itself may not read the clipboard; a person pastes.
    page.get_by_label("Message").fill("")
    page.keyboard.press("Control+V")
    expect(page.get_by_label("Message")).to_have_value(text or "")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download answer").click()
    file = tmp_path / "answer.json"
    download.value.save_as(file)
    assert json.loads(file.read_text()) == json.loads(text or "")
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()


def test_without_a_clipboard_the_answer_is_selected_instead(stack: Stack, staff_page: Page) -> None:
    page = staff_page
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', {value: null})")
    run_example(page, stack, "deidentify")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Selected: press Ctrl+C")).to_be_visible()
    selected = page.evaluate("getSelection().toString()")
    assert selected.split() == (page.locator("#answer-text").text_content() or "").split()


def test_labels_are_marked_in_a_de_identified_text(stack: Stack, staff_page: Page) -> None:
    page = staff_page
    run_example(page, stack, "deidentify")
    text = page.locator("#answer-text").inner_text()
    labels = ["[NAME]", "[DATE]", "[ID]", "[PHONE]", "[ADDRESS]", "[EMAIL]"]
    assert page.locator("mark").count() == sum(text.count(label) for label in labels)


def test_a_task_runs_by_keyboard_alone(stack: Stack, page: Page, staff: Credentials) -> None:
    page.goto(f"{stack.url}/sign-in")
    page.keyboard.type(staff.name)
    page.keyboard.press("Tab")
    page.keyboard.type(staff.password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stack.url}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    _tab_to(page, "Triage a message")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks/triage")
    _tab_to(page, "Message")
    page.keyboard.type("I lost my card, please block it.")
    _tab_to(page, "Run this task")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Receipt").wait_for()
    _tab_to(page, "Download receipt")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_without_scripts_a_task_runs_and_both_files_can_be_downloaded(
    stack: Stack, open_context: Callable[..., BrowserContext], staff_state: StorageState
) -> None:
    page = open_context(storage_state=staff_state, java_script_enabled=False).new_page()
    run_example(page, stack, "triage")
    expect(page.get_by_role("button", name="Copy")).to_be_hidden()
    with page.expect_download() as answer:
        page.get_by_role("button", name="Download answer").click()
    assert answer.value.suggested_filename.startswith("triage-")
    with page.expect_download() as receipt:
        page.get_by_role("link", name="Download receipt").click()
    assert receipt.value.suggested_filename.startswith("receipt-")


def test_a_text_that_is_too_long_is_counted_and_refused_beside_its_field(
    stack: Stack, staff_page: Page
) -> None:
    page = staff_page
    page.goto(f"{stack.url}/tasks/triage")
    page.get_by_label("Message").fill("x" * 6001)
    expect(page.get_by_text("6,001 of 6,000 characters")).to_be_visible()
    page.get_by_role("button", name="Run this task").click()
    expect(page.get_by_role("alert")).to_contain_text("between 1 and 6,000 characters")
    expect(page.get_by_role("button", name="Run this task")).to_be_enabled()


def test_who_was_signed_out_meanwhile_is_told_and_keeps_the_text(
    stack: Stack, staff_page: Page
) -> None:
    page = staff_page
    page.goto(f"{stack.url}/tasks/triage")
    page.get_by_label("Message").fill("Reset my password.")
    page.context.clear_cookies()
    page.get_by_role("button", name="Run this task").click()
    expect(page.get_by_text("You are signed out")).to_be_visible()
    expect(page.get_by_label("Message")).to_have_value("Reset my password.")


def test_a_lost_connection_is_told_in_the_answers_place(stack: Stack, staff_page: Page) -> None:
    page = staff_page
    page.goto(f"{stack.url}/tasks/triage")
    page.get_by_label("Message").fill("Reset my password.")
    page.route(
        "**/tasks/triage",
        lambda route: route.fulfill(
            content_type="text/event-stream", body="event: waiting\ndata: x\n\n"
        ),
    )
    page.get_by_role("button", name="Run this task").click()
    expect(page.locator("#answer")).to_contain_text("The connection was lost")
    expect(page.get_by_role("button", name="Run this task")).to_be_enabled()


def _tab_to(page: Page, name: str, presses: int = 40) -> None:
    """Press Tab until the element with this label or text has the focus."""
    current = (
        "document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent"
    )
    for _ in range(presses):
        page.keyboard.press("Tab")
        if str(page.evaluate(current)).strip() == name:
            return
    raise AssertionError(f"{name!r} is not reached by Tab")
