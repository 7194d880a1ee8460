"""An export of a running appliance, from the operator's command to the officers' laptop."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.cloister import CLOISTER, Cloister


def _officer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [CLOISTER.with_name("cloister-audit"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_an_export_is_checked_and_opened_away_from_the_appliance(
    cloister: Cloister, tmp_path: Path
) -> None:
    out = tmp_path / "export"
    made = cloister.call("audit", "export", "--all", "--out", str(out), "--reason", "Case 12")
    assert made.returncode == 0, made.stderr
    assert f"{out}:" in made.stdout
    vkey = cloister.state / "etc/cloister/log.vkey"
    verified = _officer("verify", out, "--vkey-file", vkey, "--json")
    assert verified.returncode == 0, verified.stdout
    keys = [f"--key={cloister.state / 'officers' / f'{group}.key'}" for group in
            ("compliance", "security")]  # fmt: skip
    opened = _officer("open", out, *keys, "--json")
    assert opened.returncode == 0, opened.stderr
    last = json.loads(opened.stdout.splitlines()[-1])
    assert last["meta"]["meta"]["event"] == "audit:export:begun"
    assert last["content"] == {"reason": "Case 12"}
    found = _officer("search", out, keys[0], "--event", "audit:export:begun", "--json")
    assert len(found.stdout.splitlines()) >= 1
    assert "Case 12" not in found.stdout


def test_the_log_has_a_record_of_the_finished_export_with_its_digest(
    cloister: Cloister, tmp_path: Path
) -> None:
    done = cloister.json("audit", "export", "--all", "--out", str(tmp_path / "e"))
    assert done["facts"]["size"] == done["facts"]["end"]
    key = f"--key={cloister.state / 'officers' / 'security.key'}"
    log = cloister.state / "var/lib/cloister/audit"
    found = _officer("search", log, key, "--event", "audit:export:finished", "--json")
    assert json.loads(found.stdout.splitlines()[-1])["meta"]["meta"]["sha256"] == done["digest"]
    again = cloister.json("audit", "export", "--all", "--out", str(tmp_path / "e"))
    assert (again["digest"], again["resumed"]) == (done["digest"], done["files"])


@pytest.mark.parametrize("arguments", [[], ["--all", "--since", "2026-01-01"]])
def test_what_shall_be_exported_is_said_once(
    cloister: Cloister, tmp_path: Path, arguments: list[str]
) -> None:
    done = cloister.call("audit", "export", "--out", str(tmp_path / "e"), *arguments)
    assert done.returncode == 2
    assert "--all" in done.stderr
    assert not (tmp_path / "e").exists()


def test_a_folder_that_holds_something_else_is_left_alone(
    cloister: Cloister, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("x")
    done = cloister.call("audit", "export", "--all", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "empty folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
