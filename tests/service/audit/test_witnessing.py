"""A checkpoint goes to an officer's laptop and his cosignature comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit.client import AuditClient, LogUnavailableError, RecordRefusedError, RecordType
from audit.reader import open_rows
from audit.witness import make_request
from tests.service.audit.harness import Writer, call_tool, tool, verify


@pytest.fixture
def laptop(root: Path, writer: Writer) -> Path:
    """A folder with a witness's key; the appliance knows him."""
    folder = root / "laptop"
    folder.mkdir()
    made = tool(
        "keygen", "--witness", "--name", "laptop", "-o", folder / "w.key",
        "--officers", writer.officers,
    )  # fmt: skip
    (folder / "w.vkey").write_text(made)
    shutil.copy(writer.log / "log.vkey", folder / "log.vkey")
    return folder


def ask(writer: Writer, laptop: Path, since: int = 0) -> Path:
    with open_rows(writer.log) as rows:
        text = make_request(rows, [since]).to_json()
    path = laptop / "checkpoint.json"
    path.write_text(text)
    return path


def cosign(laptop: Path, what: Path, status: int = 0, *, first: bool = False) -> tuple[str, str]:
    known = ["--vkey-file", laptop / "log.vkey"] if first else []
    key = ["--name", "laptop", "--key", laptop / "w.key"]
    found, output, errors = call_tool("cosign", what, *key, *known)
    assert found == status, errors
    return output, errors


def append(client: AuditClient, count: int) -> None:
    for _ in range(count):
        client.append(RecordType.ADMIN, actor="a", meta={})


def test_a_cosignature_goes_there_and_back_and_the_exposure_falls(
    writer: Writer, client: AuditClient, laptop: Path
) -> None:
    append(client, 4)
    assert client.status().witnessed == 0
    note, said = cosign(laptop, ask(writer, laptop), first=True)
    assert "SIGNED: 5 records, seen for the first time" in said
    append(client, 2)
    status = client.witness(note)
    assert (status.witnessed, status.size) == (5, 8)
    assert status.witnessed_at is not None
    note, said = cosign(laptop, ask(writer, laptop, since=5))
    assert "SIGNED: 8 records, 3 more than on" in said
    assert client.witness(note).witnessed == 8
    writer.stop()
    report = verify(writer)
    assert (report["verdict"], report["witnessed"], report["unseen"]) == ("intact", 8, 2)
    vkey = (laptop / "w.vkey").read_text().strip()
    text = tool("verify", writer.log, "--witness", vkey, "--require-witness")
    assert "witnessed    8 records, by laptop on" in text


def test_the_witness_survives_a_restart_of_the_writer(
    writer: Writer, client: AuditClient, laptop: Path
) -> None:
    append(client, 1)
    client.witness(cosign(laptop, ask(writer, laptop), first=True)[0])
    writer.kill()
    with writer.start():
        assert client.status().witnessed == 2


def test_a_stranger_has_to_say_which_log_he_means(writer: Writer, laptop: Path) -> None:
    _, said = cosign(laptop, ask(writer, laptop), status=4)
    assert "has not seen the log before" in said


def test_an_older_copy_is_noticed_by_the_laptop_and_by_the_appliance(
    writer: Writer, client: AuditClient, laptop: Path, root: Path
) -> None:
    append(client, 2)
    writer.stop()
    shutil.copytree(writer.log, root / "old")
    shutil.copy(writer.head, root / "old.head")
    writer.start()
    append(client, 5)
    note, _ = cosign(laptop, ask(writer, laptop), first=True)
    writer.stop()
    shutil.rmtree(writer.log)
    shutil.copytree(root / "old", writer.log)
    shutil.copy(root / "old.head", writer.head)
    writer.start()
    assert client.status().health == "ok", "database and head go together: only outside shows it"
    _, said = cosign(laptop, ask(writer, laptop), status=1)
    assert "NOT SIGNED. ROLLED BACK: the log shows 5 records, but this witness has seen 10" in said
    with pytest.raises(LogUnavailableError, match=r"ROLLED BACK.*has seen 10 records"):
        client.witness(note)
    assert client.status().health == "read_only"
    with pytest.raises(LogUnavailableError):
        append(client, 1)
    (laptop / "note").write_text(note)
    text = tool("verify", writer.log, "--seen", laptop / "note", status=1)
    assert "has seen 10 records, but the log holds 5" in text


def test_a_folder_can_be_shown_to_the_witness_too(
    writer: Writer, client: AuditClient, laptop: Path
) -> None:
    append(client, 1)
    cosign(laptop, writer.log, first=True)
    append(client, 1)
    _, said = cosign(laptop, writer.log)
    assert "1 more than on" in said


def test_what_is_no_cosignature_is_refused(client: AuditClient) -> None:
    with pytest.raises(RecordRefusedError, match="not the word of a witness"):
        client.witness("hello")
    assert client.status().health == "ok"


def test_the_memory_is_on_the_disk_before_the_signature_is_given(
    writer: Writer, laptop: Path
) -> None:
    what = ask(writer, laptop)
    command = [sys.executable, "-m", "audit.cli", "cosign", str(what), "--name", "laptop"]
    command += ["--key", str(laptop / "w.key"), "--vkey-file", str(laptop / "log.vkey")]
    full = os.open("/dev/full", os.O_WRONLY)
    done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(full)
    assert done.returncode != 0
    assert json.loads((laptop / "w.key.seen").read_text())["size"] == 1
