"""Erasing a case and holding one on a running appliance: what an operator and two officers type."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cloister import CLOISTER, Cloister

Officer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def officer(cloister: Cloister) -> Officer:
    """`cloister-audit` with the keys of these groups."""

    def run(
        command: str, *arguments: str | Path, groups: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        keys = [("--key", cloister.state / f"officers/{group}.key") for group in groups]
        flat = [part for pair in keys for part in pair]
        program = [CLOISTER.with_name("cloister-audit"), command, *arguments, *flat]
        return subprocess.run(
            program, capture_output=True, text=True, check=False, timeout=60, input=""
        )

    return run


def _run_task(cloister: Cloister, text: str, subject: str) -> str:
    told = cloister.json("task", "run", "triage", "--input", f"text={text}", "--subject", subject)
    return str(told["record"])


def _decided(cloister: Cloister, officer: Officer, request: Path) -> int:
    for group in ("compliance", "security"):
        signed = officer("approve", request, "--yes", groups=(group,))
        assert signed.returncode == 0, signed.stderr
    return int(cloister.json("audit", "carry-out", str(request))["record"])


def test_two_officers_erase_a_case_and_its_records_say_so(
    cloister: Cloister, officer: Officer, tmp_path: Path
) -> None:
    record = _run_task(cloister, "I lost my card.", "case 1")
    request = tmp_path / "request.json"
    asked = cloister.call(
        "audit", "erase-subject", "case 1", "--ground", "objection", "-o", str(request)
    )
    assert asked.returncode == 0, asked.stderr
    assert "cloister audit carry-out" in asked.stdout
    unsigned = cloister.call("audit", "carry-out", str(request))
    assert unsigned.returncode == 1
    assert "cloister-audit approve" in unsigned.stderr
    shown = officer("approve", request, groups=("compliance",))
    assert shown.returncode == 4
    assert 'ERASE for ever the contents of all records about "case 1"' in shown.stderr
    index = _decided(cloister, officer, request)
    log = cloister.state / "var/lib/cloister/audit"
    both = ("compliance", "security")
    opened = officer("open", log, "--record", record, groups=both)
    assert opened.returncode == 0, opened.stderr
    assert f"none any more, its subject was erased on two officers' word: record {index}" in (
        opened.stdout
    )
    assert "I lost my card" not in opened.stdout
    assert "task: triage" in opened.stdout
    assert officer("verify", log).returncode == 0
    (entry,) = [one for one in cloister.json("audit", "ledger") if one["record"] == index]
    assert (entry["action"], entry["ground"]) == ("erase", "objection")
    assert "case 1" not in str(cloister.json("audit", "ledger"))


def test_a_hold_forbids_the_erasure_and_says_by_what_matter(
    cloister: Cloister, officer: Officer, tmp_path: Path
) -> None:
    _run_task(cloister, "Hold me.", "case 2")
    paths = [tmp_path / name for name in ("hold", "erase", "release")]
    held, erase, release = map(str, paths)
    cloister.call("audit", "hold", "case 2", "--matter", "LH-7", "-o", held)
    cloister.call("audit", "erase-subject", "case 2", "--ground", "objection", "-o", erase)
    cloister.call("audit", "release", "LH-7", "-o", release)
    _decided(cloister, officer, paths[0])
    for group in ("compliance", "security"):
        officer("approve", erase, "--yes", groups=(group,))
    refused = cloister.call("audit", "carry-out", erase)
    assert refused.returncode == 1
    assert "on legal hold: LH-7" in refused.stderr
    _decided(cloister, officer, paths[2])
    assert cloister.call("audit", "carry-out", erase).returncode == 0
    ledger = cloister.call("audit", "ledger").stdout
    assert "LH-7" in ledger


def test_a_request_overwrites_no_file_and_needs_a_subject(
    cloister: Cloister, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    done = cloister.call("audit", "hold", "case 3", "--matter", "LH-1", "-o", str(taken))
    assert done.returncode == 1
    assert taken.read_text() == "mine"
    for arguments in (["--everything", "case 3"], []):
        done = cloister.call("audit", "hold", *arguments, "--matter", "LH-1", "-o", "x")
        assert done.returncode == 2
    bad = cloister.call("audit", "hold", "a", "--matter", "two words", "-o", str(tmp_path / "y"))
    assert bad.returncode == 1
    assert "Error" in bad.stderr
