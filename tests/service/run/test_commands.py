"""Every command against a running appliance, as a person or a script uses it."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.support.cloister import CLOISTER, Cloister

ME = f"cli:{pwd.getpwuid(os.geteuid()).pw_name}"


def _opened(cloister: Cloister, tmp_path: Path) -> list[dict[str, Any]]:
    """All records of the log, opened with both officers' keys."""
    state = cloister.state
    keys = [f"--key={state / 'officers' / f'{group}.key'}" for group in ("compliance", "security")]
    command = [CLOISTER.with_name("cloister-audit"), "open", state / "var/lib/cloister/audit"]
    done = subprocess.run(
        [*command, *keys, "--json"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_account_is_made_listed_reset_and_disabled(cloister: Cloister) -> None:
    made = cloister.call("user", "add", "Nurse.Joy", "--role", "user", "--role", "operator")
    assert made.returncode == 0, made.stderr
    password = made.stdout.splitlines()[-1]
    assert " " not in password
    row = next(one for one in cloister.json("user", "list") if one["name"] == "nurse.joy")
    assert row["roles"] == ["operator", "user"]
    assert row["must_change"]
    again = cloister.call("user", "reset", "nurse.joy").stdout.splitlines()[-1]
    assert again not in {"", password}
    assert cloister.call("user", "disable", "nurse.joy").returncode == 0
    row = next(one for one in cloister.json("user", "list") if one["name"] == "nurse.joy")
    assert row["disabled"]
    assert "nurse.joy" in cloister.call("user", "list").stdout


def test_a_key_works_until_it_is_revoked(cloister: Cloister) -> None:
    key = cloister.key("records-system")
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{cloister.url}/v1/models", headers=headers).status_code == 200
    assert key not in cloister.call("key", "list").stdout
    assert [one["name"] for one in cloister.json("key", "list")] == ["records-system"]
    assert cloister.call("key", "revoke", "records-system").returncode == 0
    assert httpx.get(f"{cloister.url}/v1/models", headers=headers).status_code == 401
    assert cloister.json("key", "list") == []
    assert "records-system" in cloister.call("key", "list", "--all").stdout


def test_a_key_keeps_to_its_scope(cloister: Cloister) -> None:
    made = cloister.call("key", "add", "desk", "--task", "triage", "--days", "9")
    headers = {"Authorization": f"Bearer {made.stdout.splitlines()[-1]}"}
    body = {"inputs": {"text": "Hello"}}
    with httpx.Client(base_url=cloister.url, headers=headers, timeout=60) as http:
        assert http.post("/v1/tasks/triage", json=body).status_code == 200
        assert http.post("/v1/tasks/extract", json=body).status_code == 403
    row = next(one for one in cloister.json("key", "list") if one["name"] == "desk")
    assert row["tasks"] == ["triage"]
    assert row["expires_at"] is not None


def test_models_are_listed_with_what_the_engine_says(cloister: Cloister) -> None:
    (model,) = cloister.json("model", "list")
    assert (model["name"], model["state"]) == ("demo", "ready")
    shown = cloister.call("model", "show", "demo").stdout
    assert model["sha256"] in shown
    assert re.search(r"^memory needed +\d+\.\d MB$", shown, re.MULTILINE)
    row = cloister.json("model", "show", "demo")
    assert row["bytes"] == model["bytes"]
    assert row["memory"]["fits"] == "loaded"
    assert row["memory"]["needed"] > row["memory"]["cache"] > 0
    assert cloister.call("model", "show", "other").returncode == 1


def test_a_task_runs_on_a_file_and_on_standard_input_with_a_receipt(
    cloister: Cloister, tmp_path: Path
) -> None:
    file = tmp_path / "message.txt"
    file.write_text("My card was stolen.")
    done = cloister.call("task", "run", "triage", str(file))
    assert done.returncode == 0, done.stderr
    assert "category" in json.loads(done.stdout)
    assert done.stderr.startswith("record ")
    answer = json.loads(cloister.call("task", "run", "triage", "-", "--json", text="Hi").stdout)
    assert json.loads(answer["answer"])
    assert answer["receipt"]["size"] > answer["receipt"]["index"] > 0
    assert {check["name"]: check["passed"] for check in answer["checks"]} == {
        "complete": True,
        "schema": True,
    }


def test_what_the_command_line_did_is_in_the_log_under_its_user(
    cloister: Cloister, tmp_path: Path
) -> None:
    record = cloister.json("task", "run", "triage", "--input", "text=Logged words")["record"]
    cloister.call("user", "add", "logged.one")
    records = _opened(cloister, tmp_path)
    prompt = next(one for one in records if one["event"] == record)
    assert prompt["actor"] == ME
    assert "Logged words" in json.dumps(prompt["content"])
    made = [one for one in records if "account:created" in json.dumps(one["meta"])]
    assert [one["actor"] for one in made][-1] == ME


def test_ctrl_c_in_the_middle_of_an_answer_is_recorded_as_cancelled(
    cloister: Cloister, tmp_path: Path
) -> None:
    """On a busy machine the answer may be whole before the signal comes; then once more."""
    tries = []
    while len(tries) < 5 and (130, "cancelled") not in tries:
        code = _interrupted(cloister)
        tries.append((code, _opened(cloister, tmp_path)[-1]["meta"]["meta"]["outcome"]))
    assert tries[-1] == (130, "cancelled"), tries


_LONG_NOTE = "Mr Okafor rang on 4 May 2026 about invoice 88314 and will ring again. " * 25


def _interrupted(cloister: Cloister) -> int:
    """Start a long task, press Ctrl-C at its first letter; the exit code."""
    command = [CLOISTER, "task", "run", "deidentify", "--input", f"text={_LONG_NOTE}"]
    with subprocess.Popen(
        command, env=cloister.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        running.stdout.read(1)
        running.send_signal(signal.SIGINT)
        _, words = running.communicate(timeout=60)
    assert b"Traceback" not in words
    return running.returncode


def test_the_log_is_intact_while_it_grows(cloister: Cloister) -> None:
    report = cloister.json("audit", "verify")
    assert (report["verdict"], report["problems"], report["remarks"]) == ("intact", [], [])
    assert cloister.call("audit", "verify").stdout.startswith("INTACT")
    status = cloister.json("audit", "status")
    assert status["health"] == "ok"
    assert status["vkey"] == report["vkey"]
    assert status["vkey"] in cloister.call("audit", "status").stdout


def test_one_officer_alone_opens_nothing(cloister: Cloister) -> None:
    state = cloister.state
    for group in ("compliance", "security"):
        done = subprocess.run(
            [
                CLOISTER.with_name("cloister-audit"),
                "open",
                state / "var/lib/cloister/audit",
                f"--key={state / 'officers' / f'{group}.key'}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 5
        assert done.stdout == ""
