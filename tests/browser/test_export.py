"""An officer exports the log from the page."""

from __future__ import annotations

import fcntl
import json
import secrets
import tarfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, StorageState, expect

from appliance.web.log.exports import Export
from tests.browser.browsers import NARROW
from tests.support.stack import Credentials, Stack

pytestmark = pytest.mark.browser
REASON = "Yearly review of the security officer"


def _make(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/log/export")
    page.get_by_label("Why it is made").fill(REASON)
    page.get_by_role("button", name="Make the export").click()


def test_an_export_is_made_while_a_bar_moves_and_fetched_as_one_file(
    stack: Stack, officer_page: Page, tmp_path: Path
) -> None:
    _make(officer_page, stack)
    link = officer_page.get_by_role("link", name="Download").first
    expect(link).to_be_visible(timeout=30_000)
    with officer_page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename.startswith("export-")
    file = tmp_path / "export.tar"
    download.value.save_as(file)
    with tarfile.open(file) as packed:
        assert any(name.endswith("/SHA256SUMS") for name in packed.getnames())


def test_the_bar_follows_what_the_appliance_says(
    stack: Stack, officer: Credentials, officer_page: Page
) -> None:
    export = Export(secrets.token_hex(8), officer.name, time.time(), None, None, "making")
    folder = stack.settings.web / "exports"
    (folder / export.id).mkdir(parents=True)

    def say(**changes: object) -> None:
        state = {**asdict(export), **changes}
        (folder / export.id / "state.json").write_text(json.dumps(state))

    with (folder / "making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        say()
        officer_page.goto(f"{stack.url}/log/export")
        expect(officer_page.get_by_text("Begins")).to_be_visible()
        say(done=250, total=1000)
        expect(officer_page.get_by_text("250 of 1,000 records")).to_be_visible()
        expect(officer_page.get_by_role("progressbar")).to_have_js_property("value", 250)
        say(state="stopped", error="The disk is full.")
        expect(officer_page.get_by_text("The disk is full.")).to_be_visible()
        expect(officer_page.get_by_role("button", name="Go on")).to_be_visible()


def test_without_scripts_an_export_is_made_and_fetched(
    stack: Stack, open_context: Callable[..., BrowserContext], officer_state: StorageState
) -> None:
    page = open_context(
        storage_state=officer_state, java_script_enabled=False, viewport=NARROW
    ).new_page()
    _make(page, stack)
    for _ in range(60):
        if not page.get_by_text("Being made").count():
            break
        page.get_by_role("link", name="Read again").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert download.value.suggested_filename.endswith(".tar")
