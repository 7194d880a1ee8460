"""The log's checkpoint goes out on paper and as a file, and a witness's word comes in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from audit.note import read_checkpoint
from tests.browser.browsers import NARROW
from tests.support.qr import decode
from tests.support.stack import Stack

pytestmark = pytest.mark.browser


def _tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "audit.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_the_code_on_the_sheet_holds_the_whole_signed_checkpoint(
    stack: Stack, officer_page: Page, tmp_path: Path, width: str
) -> None:
    if width == "narrow":
        officer_page.set_viewport_size(NARROW)  # type: ignore[arg-type] # a plain dict of its shape
    officer_page.goto(f"{stack.url}/log/witness")
    officer_page.get_by_role("link", name="Open the sheet").click()
    shown = officer_page.locator("pre").text_content() or ""
    picture = tmp_path / "code.png"
    officer_page.get_by_role("img", name="QR code").screenshot(path=picture)
    scanned = decode(picture)
    assert scanned.rstrip("\n") == shown.rstrip("\n")
    (tmp_path / "scanned").write_text(scanned.rstrip("\n") + "\n")
    done = _tool("verify", stack.settings.audit, "--seen", tmp_path / "scanned")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_checkpoint(shown).origin in officer_page.locator(".lead").inner_text()


def test_a_checkpoint_goes_to_a_laptop_and_its_word_comes_back_by_the_page(
    stack: Stack, officer_page: Page, tmp_path: Path
) -> None:
    page, key = officer_page, tmp_path / "w.key"
    made = _tool(
        "keygen", "--witness", "--name", "laptop", "-o", key, "--officers", stack.settings.officers
    )
    assert made.returncode == 0, made.stderr
    page.goto(f"{stack.url}/log/witness")
    expect(page.get_by_text("No witness has seen it yet")).to_be_visible()
    expect(page.get_by_role("term").filter(has_text="laptop").last).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download checkpoint.json").click()
    request, note = tmp_path / "checkpoint.json", tmp_path / "note"
    download.value.save_as(request)
    signed = _tool(
        "cosign", request, "--name", "laptop", "--key", key, "-o", note,
        "--vkey-file", stack.settings.audit / "log.vkey",
    )  # fmt: skip
    assert signed.returncode == 0, signed.stderr
    page.get_by_label("Signed note or time stamp").set_input_files(request)
    page.get_by_role("button", name="Bring it in").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not the word of a witness")
    page.get_by_label("Signed note or time stamp").set_input_files(note)
    page.get_by_role("button", name="Bring it in").click()
    expect(page.get_by_text("The witness's word is in the log.")).to_be_visible()
    expect(page.get_by_text("A witness saw the first")).to_be_visible()
    page.goto(f"{stack.url}/log")
    expect(page.get_by_text("Seen by nobody outside")).to_be_visible()
