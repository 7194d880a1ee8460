"""Exports from the page: the reason, the record before the bytes, the download that goes on."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.web.log.exports import Export, ExportRefusedError, Exports
from audit.desk import Desk
from audit.export.make import Exported
from audit.reader import open_records
from audit.verify import verify_log
from tests.service.web.conftest import Visitor
from tests.support.records import read_records
from tests.support.stack import Credentials, Stack
from tests.support.wait import wait_until

REASON = "Yearly review of the security officer"


@pytest.fixture(scope="module")
def officer(stack: Stack, person: Callable[..., Credentials]) -> Iterator[Visitor]:
    with stack.http() as http:
        officer = Visitor(http)
        officer.sign_in(person("officer"))
        yield officer


def _states(officer: Visitor) -> dict[str, str]:
    found = officer.get("/log/export/now").json()
    return {name: one["state"] for name, one in found.items()}


def _make(officer: Visitor, **fields: str) -> str:
    """Make an export from the page; its id."""
    before = set(_states(officer))
    page = officer.post("/log/export", {"reason": REASON, **fields}, page="/log/export")
    assert page.status_code == 200
    (made,) = set(_states(officer)) - before
    wait_until(lambda: _states(officer)[made] == "finished", 30, "finished export")
    return made


@pytest.fixture(scope="module")
def export(officer: Visitor) -> str:
    return _make(officer)


def test_a_fetched_export_is_intact_and_its_digest_stands_in_the_log(
    stack: Stack, officer: Visitor, export: str, tmp_path: Path
) -> None:
    answer = officer.get(f"/log/export/{export}.tar")
    assert answer.headers["Content-Type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as packed:
        packed.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    with open_records(folder) as rows:
        assert verify_log(rows, folder).verdict == 0
    checked = subprocess.run(
        ["sh", folder / "verify.sh"], capture_output=True, check=False, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = [one for one in read_records(stack.settings) if one.type == "access"]
    begun = next(one for one in found if one.event == export)
    assert (begun.meta["event"], begun.content) == ("audit:export:begun", {"reason": REASON})
    finished, fetched = (one for one in found if one.meta.get("begin") == export)
    assert finished.meta["event"] == "audit:export:finished"
    assert (fetched.meta["event"], fetched.meta["from"]) == ("audit:export:fetched", 0)
    assert begun.index < finished.index < fetched.index
    sums = (folder / "SHA256SUMS").read_bytes()
    assert finished.meta["sha256"] == fetched.meta["sha256"] == hashlib.sha256(sums).hexdigest()


def test_a_download_goes_on_where_it_broke_off(stack: Stack, officer: Visitor, export: str) -> None:
    address = f"/log/export/{export}.tar"
    whole = officer.get(address)
    assert whole.headers["Accept-Ranges"] == "bytes"
    tag = whole.headers["ETag"]
    rest = officer.http.get(address, headers={"Range": "bytes=1000-", "If-Range": tag})
    assert rest.status_code == 206
    size = len(whole.content)
    assert rest.headers["Content-Range"] == f"bytes 1000-{size - 1}/{size}"
    assert rest.content == whole.content[1000:]
    assert read_records(stack.settings)[-1].meta["from"] == 1000


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=5-", "If-Range": '"another"'},
        {"Range": "bytes=5-9"},
        {"Range": "bytes=-9"},
        {"Range": "bytes=0-1,5-"},
        {"Range": "lines=5-"},
        {"Range": "bytes=999999999999-"},
        {"Range": "nonsense"},
    ],
)
def test_any_other_part_gets_the_whole(
    officer: Visitor, export: str, headers: dict[str, str]
) -> None:
    answer = officer.http.get(f"/log/export/{export}.tar", headers=headers)
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_a_time_narrows_the_sealed_blobs(stack: Stack, officer: Visitor) -> None:
    made = _make(officer, since="2020-01-01T00:00", until="2020-01-02T00:00")
    begun = next(one for one in read_records(stack.settings) if one.event == made)
    assert begun.meta["since"] == "2020-01-01 00:00:00 UTC"
    finished = next(one for one in read_records(stack.settings) if one.meta.get("begin") == made)
    assert finished.meta["first"] == finished.meta["end"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"reason": "please"}, "Write the reason"),
        ({"reason": REASON, "since": "yesterday"}, "Give times as"),
    ],
)
def test_without_reason_or_with_a_wrong_time_nothing_begins_and_the_form_keeps_its_text(
    stack: Stack, officer: Visitor, fields: dict[str, str | list[str]], words: str
) -> None:
    before = stack.log.status().size
    page = officer.post("/log/export", fields, page="/log/export")
    assert page.status_code == 400
    assert words in page.text
    assert str(fields["reason"]) in page.text
    assert stack.log.status().size == before


def test_while_the_log_takes_no_records_no_byte_leaves(officer: Visitor, stack: Stack) -> None:
    made = _make(officer)
    csrf = officer.csrf("/log/export")
    stack.kill("writer")
    try:
        assert officer.http.get(f"/log/export/{made}.tar").status_code == 503
        form = {"csrf": csrf, "reason": REASON}
        assert officer.http.post("/log/export", data=form).status_code == 503
    finally:
        stack.restart("writer")


def test_an_export_is_deleted_from_the_page(officer: Visitor, stack: Stack) -> None:
    made = _make(officer)
    officer.post(f"/log/export/{made}/delete", page="/log/export")
    assert made not in _states(officer)
    assert not (stack.settings.web / "exports" / made).exists()
    assert officer.get(f"/log/export/{made}.tar").status_code == 404


def test_what_a_restart_broke_off_is_gone_on_with(stack: Stack, officer: Visitor) -> None:
    made = _make(officer)
    folder = stack.settings.web / "exports" / made
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "state": "making"}))
    sums = folder / "export/SHA256SUMS"
    before = sums.read_bytes()
    lines = before.splitlines(keepends=True)
    (folder / "export/SHA256SUMS.part").write_bytes(b"".join(lines[:3]))
    sums.unlink()
    assert _states(officer)[made] == "stopped"
    assert "Go on" in officer.get("/log/export").text
    assert officer.get(f"/log/export/{made}.tar").status_code == 404
    officer.post(f"/log/export/{made}/resume", page="/log/export")
    wait_until(lambda: _states(officer)[made] == "finished", 30, "finished export")
    assert sums.read_bytes() == before
    resumed = [one for one in read_records(stack.settings) if one.meta.get("begin") == made]
    assert [one.meta["event"].rpartition(":")[2] for one in resumed][-2:] == ["begun", "finished"]


def _exports(stack: Stack, tmp_path: Path, spare: int = 0) -> Exports:
    return Exports(tmp_path / "exports", Desk(stack.settings.audit), spare)


def test_without_room_for_the_log_itself_no_export_begins(stack: Stack, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(ExportRefusedError, match="the log itself needs the rest"):
        _exports(stack, tmp_path, spare=2 * free).check_room()
    _exports(stack, tmp_path).check_room()


def test_a_second_export_waits_for_the_first_which_can_not_be_deleted(
    stack: Stack, tmp_path: Path
) -> None:
    found, go_on, done = _exports(stack, tmp_path), threading.Event(), list[Exported]()
    found.check_room()

    def finished(made: Exported) -> None:
        go_on.wait(30)
        done.append(made)

    now = time.time()
    found.make(Export("one", "ada", now, None, None), finished)
    (first,) = found.latest()
    assert first.state == "making"
    with pytest.raises(ExportRefusedError, match="being made"):
        found.check_room()
    with pytest.raises(ExportRefusedError, match="being made"):
        found.delete(first)
    go_on.set()
    wait_until(lambda: found.latest()[0].state == "finished", 20, "finished export")
    assert len(done) == 1


def test_an_export_that_fails_says_why_and_can_be_gone_on_with(
    stack: Stack, tmp_path: Path
) -> None:
    found, done = _exports(stack, tmp_path), list[Exported]()
    found.check_room()
    (tmp_path / "exports/one/export").mkdir(parents=True)
    (tmp_path / "exports/one/export/stranger").touch()
    export = Export("one", "ada", time.time(), None, None)
    found.make(export, done.append)
    wait_until(lambda: found.latest()[0].error, 20, "error")
    (stopped,) = found.latest()
    assert stopped.state == "stopped"
    assert "holds something else" in stopped.error
    (tmp_path / "exports/one/export/stranger").unlink()
    found.make(stopped, done.append)
    wait_until(lambda: found.latest()[0].state == "finished", 20, "finished export")
    assert found.latest()[0].error == ""


def test_old_exports_are_forgotten(stack: Stack, tmp_path: Path) -> None:
    found, done = _exports(stack, tmp_path), list[Exported]()
    found.check_room()
    found.make(Export("old", "ada", 0.0, None, None), done.append)
    wait_until(lambda: done, 20, "export")
    wait_until(lambda: not found.latest() and not (tmp_path / "exports/old").exists(), 20, "room")
