"""A witness of a running appliance: what an operator and an officer type, from end to end."""

from __future__ import annotations

import subprocess
from pathlib import Path

from audit.syslog import parse_line
from tests.support.cloister import CLOISTER, Cloister


def _officer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [CLOISTER.with_name("cloister-audit"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def _detail(cloister: Cloister) -> str:
    (finding,) = [one for one in cloister.json("doctor") if one["check"] == "witness"]
    return str(finding["detail"])


def test_doctor_counts_what_no_outsider_has_seen(cloister: Cloister, tmp_path: Path) -> None:
    assert "no outsider has seen any of the" in _detail(cloister)
    key, request, answer = (tmp_path / name for name in ("w.key", "checkpoint.json", "note"))
    officers = cloister.state / "etc/cloister/officers.json"
    made = _officer("keygen", "--witness", "--name", "laptop", "-o", key, "--officers", officers)
    assert made.returncode == 0, made.stderr
    done = cloister.call("audit", "checkpoint", "-o", str(request))
    assert done.returncode == 0, done.stderr
    assert "cloister-audit cosign" in done.stdout
    signed = _officer(
        "cosign", request, "--name", "laptop", "--key", key, "-o", answer,
        "--vkey-file", cloister.state / "etc/cloister/log.vkey",
    )  # fmt: skip
    assert signed.returncode == 0, signed.stderr
    told = cloister.json("audit", "witness", str(answer))
    assert 0 < told["witnessed"] < told["size"]
    assert "records since" in _detail(cloister)
    again = cloister.call("audit", "witness", str(request))
    assert again.returncode == 1
    assert "not the word of a witness" in again.stderr


def test_a_line_for_a_log_host_holds_a_checkpoint(cloister: Cloister) -> None:
    line = cloister.call("audit", "checkpoint", "--syslog").stdout
    assert line.startswith("<109>1 ")
    assert line.count("\n") == 1
    assert parse_line(line) is not None


def test_a_checkpoint_goes_to_one_place(cloister: Cloister, tmp_path: Path) -> None:
    for arguments in ([], ["--syslog", "-o", str(tmp_path / "x")]):
        done = cloister.call("audit", "checkpoint", *arguments)
        assert done.returncode == 2
        assert "-o FILE" in done.stderr
