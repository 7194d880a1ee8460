"""`cloister-audit convert`: what an officer types, gets as a file, and as exit status."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from audit.age import AgeWriter, Identity, decrypt
from audit.agekeys import parse_recipient
from audit.cli import reading
from audit.formats.convert import FORMS
from tests.service.audit.harness import call_tool, run_tool, tool
from tests.unit.audit.exportfolder import Export
from tests.unit.audit.logfolder import LogFolder
from tests.unit.audit.manyrecords import SECRET, make_log


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    folder = make_log(tmp_path_factory.mktemp("convert") / "one")
    for name, identity in zip("ab", folder.identities, strict=True):
        (folder.root / f"{name}.key").write_text(f"{identity}\n")
    Export.make(folder, folder.root / "export")
    return folder


def convert(log: LogFolder, *arguments: str | Path, keys: str = "a") -> list[str | Path]:
    given = [part for name in keys for part in ("--key", log.root / f"{name}.key")]
    return ["convert", log.root / "export", *given, *arguments]


@pytest.mark.parametrize("form", FORMS)
def test_one_officer_writes_metadata_in_every_form(
    form: str, log: LogFolder, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    done = run_tool(*convert(log, "--to", form, "-o", path))
    assert done.returncode == 0, done.stderr
    assert f"{path} written: 10 records" in done.stderr
    assert SECRET.encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tool(*convert(log, "--to", form, "-o", tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_without_a_file_it_goes_to_standard_output(log: LogFolder) -> None:
    lines = tool(*convert(log, "--to", "jsonl")).splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(10))


def test_two_officers_write_contents_sealed_to_who_asked(log: LogFolder, tmp_path: Path) -> None:
    requester, path = Identity.generate(), tmp_path / "case.jsonl.age"
    given = ["--contents", "--to", "jsonl", "--recipient", requester.recipient, "-o", path]
    tool(*convert(log, *given, keys="ab"))
    assert SECRET.encode() not in path.read_bytes()
    (tmp_path / "his.key").write_text(f"{requester}\n")
    command = ["age", "-d", "-i", tmp_path / "his.key", path]
    opened = subprocess.run(command, capture_output=True, check=True).stdout
    lines = [json.loads(line) for line in opened.splitlines()]
    assert [line["index"] for line in lines] == list(range(10))
    assert SECRET in lines[1]["content"]["text"]


def test_one_officer_alone_gets_no_contents(log: LogFolder, tmp_path: Path) -> None:
    path = tmp_path / "out"
    status, _, errors = call_tool(*convert(log, "--contents", "--to", "csv", "-o", path))
    assert status == 5
    assert "an officer of the group security" in errors
    assert "Nothing was written" in errors
    assert not path.exists()


@pytest.mark.parametrize("form", ["cef", "syslog"])
def test_a_log_host_s_form_takes_no_contents(form: str, log: LogFolder) -> None:
    status, _, errors = call_tool(*convert(log, "--contents", "--to", form, keys="ab"))
    assert status == 4
    assert "metadata only" in errors


def test_no_file_is_written_over(log: LogFolder, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_text("precious")
    status, _, errors = call_tool(*convert(log, "--to", "csv", "-o", path))
    assert (status, path.read_text()) == (4, "precious")
    assert "Choose another name" in errors


def test_what_can_not_be_written_is_said(log: LogFolder, tmp_path: Path) -> None:
    given = ["--to", "csv", "-o", tmp_path / "absent" / "out"]
    status, _, errors = call_tool(*convert(log, *given))
    assert status == 4
    assert "can not be written" in errors
    status, _, errors = call_tool(*convert(log, "--to", "csv", "--recipient", "age1x"))
    assert status == 4


def test_an_export_that_was_changed_is_exit_1(log: LogFolder, tmp_path: Path) -> None:
    changed = Export.make(log, tmp_path / "changed")
    (blobs,) = (path for path in changed.files() if path.startswith("blobs"))
    data = bytearray(changed.read(blobs))
    data[-1] ^= 1
    changed.write(blobs, bytes(data))
    given = convert(log, "--to", "jsonl", "-o", tmp_path / "out", "--contents", keys="ab")
    status, _, errors = call_tool("convert", changed.folder, *given[2:])
    assert status == 1
    assert "TAMPERED" in errors
    assert "does not open" in errors


def test_of_many_records_that_do_not_open_the_first_are_named(
    log: LogFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_SHOWN", 1)
    changed = Export.make(log, tmp_path / "changed")
    (blobs,) = (path for path in changed.files() if path.startswith("blobs"))
    data = changed.read(blobs)
    kept = 2 * len(data) // 3  # the table of lengths, and the opening of the epoch
    changed.write(blobs, data[:kept] + bytes(byte ^ 1 for byte in data[kept:]))
    given = convert(log, "--to", "jsonl", "-o", tmp_path / "out", keys="a")
    status, _, errors = call_tool("convert", changed.folder, *given[2:])
    assert status == 1
    assert "records more do not open" in errors


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 200_000])
def test_a_sealed_stream_is_an_age_file(size: int, tmp_path: Path) -> None:
    identity, plain = Identity.generate(), bytes(number % 251 for number in range(size))
    with (tmp_path / "sealed").open("wb") as file:
        writer = AgeWriter(file, [parse_recipient(identity.recipient)])
        for start in range(0, size, 7000):
            writer.write(plain[start : start + 7000])
        writer.finish()
    sealed = (tmp_path / "sealed").read_bytes()
    assert decrypt(sealed, [identity]) == plain
    (tmp_path / "key").write_text(f"{identity}\n")
    command = ["age", "-d", "-i", tmp_path / "key", tmp_path / "sealed"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == plain
