"""`cloister-audit`: what an officer types, sees and gets as exit status."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from audit.client import AuditClient, Receipt, RecordType
from tests.service.audit.harness import Writer, call_tool, run_tool, tool


@pytest.fixture(scope="module")
def original(shared: Writer) -> tuple[Path, Receipt]:
    """A log of one prompt, its writer stopped."""
    client = AuditClient(shared.socket, timeout=10)
    receipt = client.append(
        RecordType.PROMPT, actor="m.keller", meta={"task": "triage"}, content={"text": "Was?"}
    )
    client.close()
    shared.stop()
    return shared.root, receipt


@pytest.fixture
def writer(original: tuple[Path, Receipt], root: Path) -> Writer:
    """A copy of that log for one test; no writer runs on it."""
    shutil.copytree(original[0], root / "copy")
    return Writer(root / "copy")


@pytest.fixture
def receipt(original: tuple[Path, Receipt]) -> Receipt:
    return original[1]


def keys(writer: Writer) -> list[str | Path]:
    return ["--key", writer.root / "a.key", "--key", writer.root / "b.key"]


def drop_guards(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database, isolation_level=None)
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def test_an_intact_log_is_exit_0_and_says_so(writer: Writer, receipt: Receipt) -> None:
    output = tool("verify", writer.log, "--head", writer.head)
    assert output.startswith("INTACT: all 3 records")
    vkey = writer.log / "log.vkey"
    assert tool("verify", writer.log, "--vkey-file", vkey).startswith("INTACT")
    assert tool("verify", writer.log, "--vkey", vkey.read_text()).startswith("INTACT")


def test_a_changed_record_is_exit_1_and_named(writer: Writer, receipt: Receipt) -> None:
    connection = drop_guards(writer.database)
    connection.execute("UPDATE blobs SET content = zeroblob(100) WHERE idx = 1")
    connection.close()
    output = tool("verify", writer.log, status=1)
    assert output.startswith("TAMPERED")
    assert "record 1: its content was changed" in output
    result = run_tool("open", writer.log, *keys(writer))
    assert result.returncode == 1
    assert "TAMPERED" in result.stderr
    assert "record 1 does not open" in result.stderr


def test_an_uncovered_tail_is_exit_2(writer: Writer, receipt: Receipt) -> None:
    connection = drop_guards(writer.database)
    connection.execute("DELETE FROM checkpoints WHERE size = 3")
    connection.close()
    output = tool("verify", writer.log, status=2)
    assert "the records 2 to 2 stand under no signed checkpoint" in output


def test_a_log_without_a_witness_is_exit_3_only_if_one_is_required(
    writer: Writer, receipt: Receipt
) -> None:
    assert tool("verify", writer.log, "--require-witness", status=3).startswith("NOT WITNESSED")


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "/nonexistent"],
        ["verify", "LOG", "--vkey", "nothing"],
        ["verify", "LOG", "--vkey-file", "/nonexistent"],
        ["verify", "LOG", "--head", "/nonexistent"],
        ["open", "LOG"],
        ["open", "LOG", "--key", "/nonexistent"],
        ["open", "LOG", "--key", "A", "--key", "B", "--record", "99"],
        ["open", "LOG", "--key", "A", "--key", "B", "--record", "x"],
        ["open", "LOG", "--key", "A", "--key", "B", "--last", "0"],
        ["open", "LOG", "--key", "A", "--key", "B", "--since", "yesterday"],
        ["keygen", "--name", "x", "--group", "other", "-o", "x"],
        ["keygen", "--name", "x", "--group", "security", "-o", "/nonexistent/x"],
        ["unknown"],
        [],
    ],
)
def test_wrong_usage_is_exit_4_and_explained(
    writer: Writer, receipt: Receipt, arguments: list[str]
) -> None:
    names = {"LOG": writer.log, "A": writer.root / "a.key", "B": writer.root / "b.key"}
    status, output, errors = call_tool(*(names.get(each, each) for each in arguments))
    assert status == 4
    assert output == ""
    assert "cloister-audit" in errors


def test_one_officer_alone_opens_nothing(writer: Writer, receipt: Receipt) -> None:
    for name, other in (("a.key", "security"), ("b.key", "compliance")):
        status, output, errors = call_tool("open", writer.log, "--key", writer.root / name)
        assert (status, output) == (5, "")
        assert f"an officer of the group {other}" in errors
        assert "Nothing was opened" in errors


def test_two_officers_read_a_record_by_its_receipt(writer: Writer, receipt: Receipt) -> None:
    by_event = tool("open", writer.log, *keys(writer), "--record", receipt.event)
    assert tool("open", writer.log, *keys(writer), "--record", str(receipt.index)) == by_event
    assert "actor: m.keller" in by_event
    assert "task: triage" in by_event
    assert "text: Was?" in by_event


def test_records_are_chosen_by_count_and_time(writer: Writer, receipt: Receipt) -> None:
    last = tool("open", writer.log, *keys(writer), "--last", "2", "--json").splitlines()
    assert [json.loads(line)["index"] for line in last] == [1, 2]
    assert tool("open", writer.log, *keys(writer), "--since", "2999-01-01") == ""
    since = tool("open", writer.log, *keys(writer), "--since", "2020-01-01", "--json")
    assert len(since.splitlines()) == 3


def test_keygen_makes_a_key_that_age_takes(root: Path) -> None:
    path, officers = root / "c.key", root / "new.json"
    command = ["keygen", "--name", "A. Officer", "--group", "compliance", "-o", path]
    recipient = tool(*command, "--officers", officers).strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"# public key: {recipient}" in path.read_text()
    members = json.loads(officers.read_text())["groups"]["compliance"]
    signer = tool("approve", "--signer", "--key", path).strip()
    assert members == [{"name": "A. Officer", "recipient": recipient, "signer": signer}]
    sealed = subprocess.run(["age", "-r", recipient], input=b"x", capture_output=True, check=True)
    decrypt = ["age", "-d", "-i", str(path)]
    opened = subprocess.run(decrypt, input=sealed.stdout, capture_output=True, check=True)
    assert opened.stdout == b"x"


def test_keygen_overwrites_no_key(root: Path) -> None:
    path = root / "c.key"
    command = ["keygen", "--name", "A", "--group", "security", "-o", path]
    tool(*command)
    before = path.read_text()
    result = run_tool(*command)
    assert result.returncode == 4
    assert "exists" in result.stderr
    assert path.read_text() == before


def test_the_secret_key_is_shown_nowhere(root: Path) -> None:
    result = run_tool("keygen", "--name", "A", "--group", "security", "-o", root / "c.key")
    assert "SECRET" not in result.stdout + result.stderr


@pytest.mark.parametrize("command", ["keygen", "verify", "search", "open"])
def test_help_teaches_by_examples(command: str) -> None:
    output = tool(command, "--help")
    assert "examples:" in output
    assert f"cloister-audit {command}" in output


def test_verifying_writes_nothing_beside_a_log_at_rest(writer: Writer, receipt: Receipt) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in writer.log.iterdir()}
    tool("verify", writer.log)
    assert {path.name: path.stat().st_mtime_ns for path in writer.log.iterdir()} == before


def test_a_random_flip_in_the_database_file_never_ends_in_a_traceback(
    writer: Writer, receipt: Receipt
) -> None:
    whole = writer.database.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        changed = bytearray(whole)
        changed[place] ^= 0x41
        writer.database.write_bytes(changed)
        status, _, _ = call_tool("verify", writer.log)
        assert status in (0, 1, 4), place
    writer.database.write_bytes(whole)


def test_a_file_that_is_no_database_is_tampered_with_not_a_crash(
    writer: Writer, receipt: Receipt
) -> None:
    for content in (b"", b"nothing" * 1000, writer.database.read_bytes()[:5000]):
        writer.database.write_bytes(content)
        status, output, _ = call_tool("verify", writer.log)
        assert (status, output[:8]) == (1, "TAMPERED")
        assert call_tool("open", writer.log, *keys(writer))[0] == 1
