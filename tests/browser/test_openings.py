"""Two officers open contents together, each in a browser of their own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Request, expect

from audit.client import Receipt, RecordType
from tests.browser.browsers import NARROW, open_log, sign_in
from tests.support.records import read_records
from tests.support.stack import Credentials, Stack

pytestmark = pytest.mark.browser
WORDS = "Zwei Tabletten täglich.\nNach dem Essen."
REASON = "The patient says that the answer named another patient"


@pytest.fixture
def second(
    stack: Stack,
    open_context: Callable[..., BrowserContext],
    person: Callable[..., Credentials],
) -> Page:
    page = open_context(viewport=NARROW).new_page()
    sign_in(page, stack, person("officer"))
    return page


@pytest.fixture
def case(stack: Stack) -> tuple[str, list[Receipt]]:
    """A case of its own with a prompt and an answer."""
    name = f"case-{secrets.token_hex(4)}"
    kinds = (RecordType.PROMPT, RecordType.ANSWER)
    return name, [
        stack.log.append(kind, actor="m.keller", subject=name, meta={}, content={"text": WORDS})
        for kind in kinds
    ]


def _ask(page: Page, stack: Stack, case: tuple[str, list[Receipt]]) -> None:
    open_log(page, stack, "records", "compliance", REASON)
    page.get_by_label("Case", exact=True).fill(case[0])
    page.get_by_role("button", name="Search").click()
    for receipt in case[1]:
        page.get_by_label(f"Choose record {receipt.index}").check()
    expect(page.get_by_text("2 records are chosen.")).to_be_visible()
    page.get_by_role("button", name="Ask to open the contents").click()
    page.get_by_label("Why you have to read them").fill(REASON)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("link", name="Openings").last).to_be_focused()


def _card(page: Page, records: list[Receipt]) -> Locator:
    places = ", ".join(str(receipt.index) for receipt in records)
    return page.locator("[data-list] > li").filter(has_text=places)


def test_one_asks_another_agrees_and_the_first_reads_and_nothing_of_it_passes_in_clear(
    stack: Stack, officer_page: Page, second: Page, case: tuple[str, list[Receipt]]
) -> None:
    passed: list[str] = []

    def note(request: Request) -> None:
        passed.append(str(request.post_data))

    for page in (officer_page, second):
        page.on("request", note)
    _ask(officer_page, stack, case)
    open_log(second, stack, "openings", "security", REASON)
    asked = _card(second, case[1])
    expect(asked.get_by_text(REASON)).to_be_visible()
    asked.get_by_role("button", name="See what the records are").click()
    asked.get_by_role("button", name="Agree to open these 2 records").click()
    expect(_card(second, case[1]).get_by_text("Agreed")).to_be_visible()
    open_log(officer_page, stack, "openings", "compliance", REASON)
    _card(officer_page, case[1]).get_by_role("button", name="Read the contents").click()
    contents = officer_page.get_by_role("dialog")
    expect(contents.get_by_text("m.keller").first).to_be_visible()
    assert contents.locator("pre").all_text_contents() == [WORDS, WORDS]
    contents.get_by_role("button", name="Close").click()
    expect(officer_page.locator("[data-contents-list]")).to_be_empty()
    for secret in ("Tabletten", "AGE-SECRET-KEY", '"halves"'):
        assert not [one for one in passed if secret in one]
    mine = [receipt.index for receipt in case[1]]
    done = [one for one in read_records(stack.settings) if one.meta.get("records") == mine]
    assert [one.meta["event"].rpartition(":")[2] for one in done] == [
        "asked",
        "read",
        "agreed",
        "opened",
    ]
    assert all("Tabletten" not in json.dumps(one.meta) for one in done)


def test_who_has_a_key_of_the_same_group_can_not_agree(
    stack: Stack, officer_page: Page, second: Page, case: tuple[str, list[Receipt]]
) -> None:
    _ask(officer_page, stack, case)
    open_log(second, stack, "openings", "compliance", REASON)
    asked = _card(second, case[1])
    expect(asked.get_by_text("It takes an officer of the group security")).to_be_visible()
    expect(asked.get_by_role("button")).to_have_count(0)


def test_a_key_that_the_log_was_not_sealed_to_gets_no_agreement(
    stack: Stack, officer_page: Page, second: Page, case: tuple[str, list[Receipt]]
) -> None:
    stranger = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg"

    def exchange(request: str) -> str:
        body = json.loads(request)
        for one in body["openings"]:
            one["recipient"] = stranger
        return json.dumps(body)

    _ask(officer_page, stack, case)
    second.route(
        "**/log/openings/list",
        lambda route: route.fulfill(
            body=exchange(route.fetch().text()), content_type="application/json"
        ),
    )
    open_log(second, stack, "openings", "security", REASON)
    asked = _card(second, case[1])
    asked.get_by_role("button", name="See what the records are").click()
    asked.get_by_role("button", name="Agree to open these 2 records").click()
    expect(second.get_by_role("alert")).to_contain_text("Do not agree")


def test_a_refused_request_is_said_to_be_and_can_be_withdrawn(
    stack: Stack, officer_page: Page, second: Page, case: tuple[str, list[Receipt]]
) -> None:
    _ask(officer_page, stack, case)
    open_log(second, stack, "openings", "security", REASON)
    _card(second, case[1]).get_by_role("button", name="Refuse").click()
    expect(_card(second, case[1]).get_by_text("Refused")).to_be_visible()
    open_log(officer_page, stack, "openings", "compliance", REASON)
    mine = _card(officer_page, case[1])
    expect(mine.get_by_text("Refused")).to_be_visible()
    expect(mine.get_by_role("button", name="Read the contents")).to_have_count(0)
    mine.get_by_role("button", name="Withdraw").click()
    expect(_card(officer_page, case[1])).to_have_count(0)
