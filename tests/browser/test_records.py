"""Officers find and read records in a real browser; their key never leaves it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from playwright.sync_api import BrowserContext, Page, Request, expect

from audit.age import Identity, decrypt, encrypt
from audit.client import Receipt, RecordType
from audit.opening import epoch_secrets, epoch_spans
from audit.proof import parse_proof
from audit.reader import open_rows
from audit.verify import verify_log
from tests.browser.browsers import NARROW, open_log, sign_in
from tests.support.records import Record, read_records
from tests.support.stack import Credentials, Stack

pytestmark = pytest.mark.browser
REASON = "Complaint 2026-114 of the patients' board"


@pytest.fixture
def records(stack: Stack, officer_page: Page) -> Page:
    """The page of records, on which nothing was done yet."""
    officer_page.goto(f"{stack.url}/log/records")
    return officer_page


@pytest.fixture
def case(stack: Stack) -> tuple[str, Receipt, Receipt]:
    """A case of its own with one prompt and its answer."""
    name = f"case-{secrets.token_hex(4)}"
    asked = stack.log.append(
        RecordType.PROMPT, actor="m.keller", subject=name, meta={"task": "triage", "model": "demo"}
    )
    meta = {"task": "triage", "outcome": "answered", "begin": asked.event}
    answered = stack.log.append(RecordType.ANSWER, actor="m.keller", subject=name, meta=meta)
    return name, asked, answered


def _open(page: Page, stack: Stack, group: str = "compliance") -> None:
    open_log(page, stack, "records", group, REASON)
    expect(page.get_by_role("heading", name="Search")).to_be_focused()


def _search(page: Page, **fields: str) -> None:
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Found")).to_be_focused()


def _names(page: Page) -> list[str]:
    return page.locator("[data-table] tbody th").all_inner_texts()


def _module(page: Page, stack: Stack, name: str, body: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON
    """Run `body` with what a module of ours exports as `m` and the arguments as `a`."""
    script = f"async (a) => {{ const m = await import('{stack.url}/static/{name}'); {body} }}"
    return page.evaluate(script, list(arguments))


@pytest.mark.parametrize("group", ["compliance", "security"])
def test_any_one_officer_finds_a_case_and_sees_metadata_but_no_contents(
    stack: Stack, records: Page, case: tuple[str, Receipt, Receipt], group: str
) -> None:
    name, asked, answered = case
    _open(records, stack, group)
    _search(records, Case=name)
    assert _names(records) == [f"{answered.index} answer", f"{asked.index} prompt"]
    expect(records.locator("[data-status]")).to_contain_text("2 found in")
    records.get_by_role("button", name=f"{answered.index} answer").click()
    record = records.get_by_role("dialog")
    expect(record).to_contain_text("answered")
    expect(record.get_by_text("Stands in the tree")).to_be_visible()
    expect(record.get_by_text("Checkpoint is signed")).to_be_visible()
    expect(record.get_by_text("No outsider has seen it yet")).to_be_visible()
    assert "m.keller" not in records.locator("main").inner_text()


def test_neither_key_nor_what_is_looked_for_leaves_the_browser(
    stack: Stack, records: Page, case: tuple[str, Receipt, Receipt]
) -> None:
    sent: list[str] = []

    def note(request: Request) -> None:
        sent.append(f"{request.url} {request.headers} {request.post_data}")

    records.on("request", note)
    _open(records, stack)
    _search(records, Case=case[0])
    assert _names(records)
    key = (stack.settings.root / "officers/compliance.key").read_text().splitlines()[-1]
    assert len(sent) >= 2
    for secret in (case[0], key, key.lower(), key[20:40]):
        assert not [one for one in sent if secret in one]


def test_other_officers_read_what_was_looked_for_and_every_step_is_a_record(
    stack: Stack,
    records: Page,
    case: tuple[str, Receipt, Receipt],
    officer: Credentials,
) -> None:
    _open(records, stack)
    _search(records, Case=case[0])
    records.get_by_role("button", name=f"{case[1].index} prompt").click()
    records.get_by_role("button", name="Close").click()
    found = read_records(stack.settings)
    opened, searched, looked = (
        next(one for one in reversed(found) if one.meta.get("event") == f"audit:desk:{event}")
        for event in ("opened", "searched", "looked")
    )
    assert {one.actor for one in (opened, searched, looked)} == {officer.name}
    assert opened.content is not None
    assert opened.content["reason"] == REASON
    assert searched.meta["begin"] == looked.meta["begin"] == opened.event
    assert looked.meta["record"] == case[1].index
    assert _terms(stack, searched) == {"subject": case[0]}
    # The page shows the same to any officer who looks at that record.
    _search(records, Case="", Event="audit:desk:searched")
    records.get_by_role("button", name=f"{searched.index} access").click()
    expect(records.get_by_role("dialog")).to_contain_text(case[0])


def _terms(stack: Stack, searched: Record) -> Any:  # noqa: ANN401 - JSON
    """Open the sealed terms as the specification says, with the key of one officer."""
    line = (stack.settings.root / "officers/security.key").read_text().splitlines()[-1]
    with open_rows(stack.settings.audit) as rows:
        report = verify_log(rows, stack.settings.audit)
    spans = epoch_spans(report.openings, report.records)
    opened, _ = epoch_secrets(spans, [Identity.parse(line)], contents=False)
    secret = opened[searched.meta["terms"]["epoch"]].metadata
    inner = HKDFExpand(hashes.SHA256(), 32, b"cloister-audit/v2 terms").derive(bytes(secret))
    salt = searched.meta["begin"].encode()
    key = HKDF(hashes.SHA256(), 32, salt, b"cloister-audit/v2 terms").derive(inner)
    raw = base64.b64decode(searched.meta["terms"]["sealed"])
    return json.loads(AESGCM(key).decrypt(raw[:12], raw[12:], None))


def test_a_timeline_runs_from_the_oldest_record_to_the_newest(
    stack: Stack, records: Page, case: tuple[str, Receipt, Receipt]
) -> None:
    name, asked, answered = case
    _open(records, stack)
    _search(records, Case=name)
    records.get_by_role("button", name="Timeline").click()
    entries = records.locator(".timeline-entry")
    expect(entries).to_have_count(2)
    expect(entries.first).to_contain_text(f"{asked.index} prompt")
    expect(entries.last).to_contain_text(f"{answered.index} answer")
    expect(records.locator("[data-table]")).to_be_hidden()


def test_the_answer_is_found_from_its_prompt_and_the_proof_can_be_saved(
    stack: Stack, records: Page, case: tuple[str, Receipt, Receipt], tmp_path: Path
) -> None:
    name, asked, answered = case
    _open(records, stack)
    _search(records, Case=name)
    records.get_by_role("button", name=f"{asked.index} prompt").click()
    with records.expect_download() as download:
        records.get_by_role("link", name="Save the proof").click()
    file = tmp_path / "proof"
    download.value.save_as(file)
    assert download.value.suggested_filename == f"record-{asked.index}.tlog-proof"
    assert parse_proof(file.read_text()).index == asked.index
    records.get_by_role("button", name="Find what follows from it").click()
    expect(records.get_by_role("heading", name="Found")).to_be_focused()
    assert _names(records) == [f"{answered.index} answer"]


def test_what_nobody_did_is_said_to_be_empty(stack: Stack, records: Page) -> None:
    _open(records, stack)
    _search(records, Case="case of nobody")
    expect(records.get_by_text("No record has all of this")).to_be_visible()
    expect(records.locator("[data-table]")).to_be_hidden()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("just some text", "holds no officer's key"),
        ("AGE-SECRET-KEY-1QQQQ", "The key in this file is damaged"),
        ("AGE-SECRET-KEY-PQ-1QQQQ", "This is a post-quantum key"),
    ],
)
def test_a_file_that_is_no_key_is_named_and_nothing_is_asked(
    stack: Stack, records: Page, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "file.key"
    file.write_text(text)
    before = stack.log.status().size
    records.get_by_label("Key file").set_input_files(file)
    records.get_by_label("Why you look").fill(REASON)
    records.get_by_role("button", name="Open the log").click()
    expect(records.get_by_role("alert")).to_contain_text(words)
    assert stack.log.status().size == before


def test_a_strangers_key_opens_nothing_and_the_attempt_is_a_record(
    stack: Stack, records: Page, tmp_path: Path
) -> None:
    file = tmp_path / "stranger.key"
    stranger = Identity.generate()
    file.write_text(f"{stranger}\n")
    records.get_by_label("Key file").set_input_files(file)
    records.get_by_label("Why you look").fill(REASON)
    records.get_by_role("button", name="Open the log").click()
    expect(records.get_by_role("alert")).to_contain_text("This key opens no epoch of the log")
    expect(records.get_by_role("heading", name="Search")).to_be_hidden()
    content = read_records(stack.settings)[-1].content
    assert content is not None
    assert content["key"] == stranger.recipient


def test_a_session_that_ended_puts_the_key_away(
    stack: Stack, records: Page, case: tuple[str, Receipt, Receipt]
) -> None:
    _open(records, stack)
    _search(records, Case=case[0])
    records.context.clear_cookies()
    records.get_by_role("button", name="Search").click()
    expect(records.get_by_role("alert")).to_contain_text("You were signed out")
    expect(records.get_by_label("Key file")).to_be_visible()
    expect(records.locator("[data-table] tbody tr")).to_have_count(0)


def test_the_key_is_put_away_by_hand_and_by_leaving(stack: Stack, records: Page) -> None:
    _open(records, stack)
    records.get_by_role("button", name="Put the key away").click()
    expect(records.get_by_label("Key file")).to_be_focused()
    expect(records.get_by_label("Key file")).to_have_value("")
    _open(records, stack)
    records.goto(f"{stack.url}/log")
    records.go_back()
    expect(records.get_by_label("Key file")).to_have_value("")
    expect(records.get_by_role("heading", name="Search")).to_be_hidden()


def test_records_are_found_and_read_by_keyboard_alone(
    stack: Stack, records: Page, case: tuple[str, Receipt, Receipt]
) -> None:
    _open(records, stack)
    records.get_by_label("Case", exact=True).focus()
    records.keyboard.type(case[0])
    records.keyboard.press("Enter")
    expect(records.get_by_role("heading", name="Found")).to_be_focused()
    for _ in range(4):  # past Table, Timeline and the box that chooses the record
        records.keyboard.press("Tab")
    expect(records.get_by_role("button", name=f"{case[2].index} answer")).to_be_focused()
    records.keyboard.press("Enter")
    expect(records.get_by_role("dialog")).to_be_visible()
    records.keyboard.press("Escape")
    expect(records.get_by_role("dialog")).to_be_hidden()
    expect(records.get_by_role("button", name=f"{case[2].index} answer")).to_be_focused()


def test_without_scripts_the_page_says_where_to_go(
    stack: Stack, open_context: Callable[..., BrowserContext], officer: Credentials
) -> None:
    page = open_context(java_script_enabled=False, viewport=NARROW).new_page()
    sign_in(page, stack, officer)
    page.goto(f"{stack.url}/log/records")
    expect(page.get_by_text("This page needs scripts")).to_be_visible()
    expect(page.get_by_label("Key file")).to_be_hidden()


def test_the_pages_hashes_are_those_of_the_standard(stack: Stack, records: Page) -> None:
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000):
        text = secrets.token_bytes(size)
        body = """
            const [text, key] = a.map((one) => Uint8Array.from(one));
            return [m.sha256(text), m.hmac(key, text)].map((one) => [...one]);"""
        key = secrets.token_bytes(size % 100)
        found = _module(records, stack, "sha256.js", body, list(text), list(key))
        assert bytes(found[0]) == hashlib.sha256(text).digest()
        assert bytes(found[1]) == hmac.digest(key, text, "sha256")
    derived = "return [...m.hkdf(...a.map((one) => Uint8Array.from(one)), 80)];"
    secret, salt = secrets.token_bytes(32), secrets.token_bytes(16)
    found = _module(records, stack, "sha256.js", derived, list(secret), list(salt), list(b"info"))
    assert bytes(found) == HKDF(hashes.SHA256(), 80, salt, b"info").derive(secret)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 300, 65536, 65537])
def test_the_page_opens_age_files_and_writes_such_that_we_open(
    stack: Stack, records: Page, size: int
) -> None:
    identity, text = Identity.generate(), secrets.token_bytes(size)
    sealed = encrypt(text, [Identity.generate().recipient, identity.recipient])
    body = """
        const key = await m.Identity.read(new TextEncoder().encode(a[0]));
        const opened = await m.decrypt(Uint8Array.from(a[1]), key);
        const other = await m.decrypt(Uint8Array.from(a[2]), key);
        const changed = Uint8Array.from(a[1]);
        changed[changed.length - 1] ^= 1;
        const refused = await m.decrypt(changed, key).catch((error) => error.message);
        return [key.recipient, [...opened], other, refused,
            [...await m.encrypt(Uint8Array.from(a[3].slice(0, 65536)), key.recipient)]];"""
    stranger = encrypt(text, [Identity.generate().recipient])
    lists = [list(one) for one in (sealed, stranger, text)]
    recipient, opened, other, refused, written = _module(
        records, stack, "age.js", body, str(identity), *lists
    )
    assert recipient == identity.recipient
    assert bytes(opened) == text
    assert other is None
    assert refused == "this age file was changed or cut"
    assert decrypt(bytes(written), [identity]) == text[:65536]


@pytest.mark.parametrize("work", [1, 5, 12])
def test_the_pages_scrypt_is_that_of_the_standard(stack: Stack, records: Page, work: int) -> None:
    password, salt = secrets.token_bytes(20), secrets.token_bytes(16)
    body = "return [...await m.scrypt(...a.slice(0, 2).map((one) => Uint8Array.from(one)), a[2])];"
    found = _module(records, stack, "scrypt.js", body, list(password), list(salt), work)
    assert bytes(found) == hashlib.scrypt(password, salt=salt, n=1 << work, r=8, p=1, dklen=32)


def test_a_key_under_a_passphrase_is_unlocked_in_the_browser(
    stack: Stack, records: Page, tmp_path: Path
) -> None:
    file = tmp_path / "locked.key"
    file.write_bytes(_locked((stack.settings.root / "officers/security.key").read_bytes(), "a b c"))
    expect(records.get_by_label("Passphrase of the key")).to_be_hidden()
    records.get_by_label("Key file").set_input_files(file)
    records.get_by_label("Passphrase of the key").fill("wrong")
    records.get_by_label("Why you look").fill(REASON)
    records.get_by_role("button", name="Open the log").click()
    expect(records.get_by_role("alert")).to_contain_text("The passphrase is wrong")
    records.get_by_label("Passphrase of the key").fill("a b c")
    records.get_by_role("button", name="Open the log").click()
    expect(records.get_by_role("heading", name="Search")).to_be_focused()
    expect(records.get_by_label("Passphrase of the key")).to_have_value("")


def _locked(text: bytes, passphrase: str) -> bytes:
    """An age file under a passphrase, as `age -p` writes it; less work, so that tests are short."""

    def base64_of(raw: bytes) -> bytes:
        return base64.b64encode(raw).rstrip(b"=")

    def derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
        return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)

    file_key, salt, nonce = (secrets.token_bytes(16) for _ in range(3))
    whole_salt = b"age-encryption.org/v1/scrypt" + salt
    wrap = hashlib.scrypt(passphrase.encode(), salt=whole_salt, n=1 << 10, r=8, p=1, dklen=32)
    body = ChaCha20Poly1305(wrap).encrypt(bytes(12), file_key, None)
    head = b"age-encryption.org/v1\n-> scrypt %s 10\n%s\n---" % (base64_of(salt), base64_of(body))
    mac = hmac.digest(derived(file_key, b"", b"header"), head, "sha256")
    sealed = ChaCha20Poly1305(derived(file_key, nonce, b"payload")).encrypt(
        bytes(11) + b"\1", text, None
    )
    return head + b" " + base64_of(mac) + b"\n" + nonce + sealed
