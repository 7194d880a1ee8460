"""Models are swapped from the command line, and neither applications nor the log lose track."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from appliance.settings import Settings
from tests.support.cloister import CLOISTER, Cloister
from tests.support.records import Record, find, read_records
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.wait import wait_until

_CHAT = "/v1/chat/completions"


def _ask(cloister: Cloister, key: str, model: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{cloister.url}{_CHAT}", json=body, headers=headers, timeout=60)


def _records(cloister: Cloister) -> list[Record]:
    return read_records(Settings(state=cloister.state))


def _moves(cloister: Cloister, alias: str) -> list[tuple[str, Any]]:
    """Events and models of an alias's records."""
    found = [one.meta for one in _records(cloister) if one.type == "admin"]
    return [(meta["event"], meta["model"]) for meta in found if meta.get("alias") == alias]


def _add_model(cloister: Cloister, name: str, seed: int) -> Path:
    models = cloister.state / "srv/cloister/models"
    file = models / f"{name}.gguf"
    write_manifest(models, name, write_tiny_gguf(file, Shape(context=4096), seed), context=4096)
    return file


def test_an_application_keeps_its_name_while_the_operator_swaps_the_model(
    cloister: Cloister,
) -> None:
    made = cloister.call("model", "activate", "demo", "--alias", "desk")
    assert made.returncode == 0, made.stderr
    assert made.stdout == "desk points at demo; the alias is new.\n"
    key = cloister.key("desk-system")
    assert _ask(cloister, key, "desk").headers["X-Model"] == "demo"

    _add_model(cloister, "better", 2)
    moved = cloister.json("model", "activate", "better", "--alias", "desk")
    assert (moved["model"], moved["before"]) == ("better", "demo")
    answer = _ask(cloister, key, "desk")
    assert answer.json()["model"] == "desk"
    assert answer.headers["X-Model"] == "better"
    assert answer.headers["X-Model-Digest"] == moved["sha256"]
    begin, end = find(_records(cloister), answer.headers["X-Record-Id"])
    assert begin.meta["model"] == end.meta["model"] == "desk"
    assert end.meta["answered_by"] == "better"
    assert end.meta["model_digest"] == moved["sha256"]

    back = cloister.call("model", "rollback", "desk")
    assert back.stdout == "desk points at demo; before, at better.\n"
    assert _ask(cloister, key, "desk").headers["X-Model"] == "demo"
    again = cloister.call("model", "rollback", "desk")
    assert again.returncode == 1
    assert "nothing to go back to" in again.stderr
    assert _moves(cloister, "desk") == [
        ("engine:alias:activated", "demo"),
        ("engine:alias:activated", "better"),
        ("engine:alias:rolled-back", "demo"),
    ]


def test_a_model_that_can_not_run_moves_nothing_and_is_not_recorded_as_a_move(
    cloister: Cloister,
) -> None:
    cloister.json("model", "activate", "demo", "--alias", "steady")
    file = _add_model(cloister, "broken", 3)
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    done = cloister.call("model", "activate", "broken", "--alias", "steady")
    (file.parent / "broken.toml").unlink()
    assert done.returncode == 1
    assert "SHA-256" in done.stderr
    assert "Traceback" not in done.stderr
    assert _ask(cloister, cloister.key("steady-system"), "steady").headers["X-Model"] == "demo"
    assert _moves(cloister, "steady") == [("engine:alias:activated", "demo")]


def test_a_key_s_scope_is_about_the_name_that_is_asked_for(cloister: Cloister) -> None:
    cloister.json("model", "activate", "demo", "--alias", "scoped")
    made = cloister.call("key", "add", "narrow", "--model", "scoped")
    key = made.stdout.splitlines()[-1]
    assert _ask(cloister, key, "scoped").status_code == 200
    assert _ask(cloister, key, "demo").status_code == 403
    headers = {"Authorization": f"Bearer {key}"}
    listed = httpx.get(f"{cloister.url}/v1/models", headers=headers, timeout=60).json()["data"]
    assert [(one["id"], one["cloister"]["alias_of"]) for one in listed] == [("scoped", "demo")]


def test_aliases_are_listed_and_removed(cloister: Cloister) -> None:
    cloister.json("model", "activate", "demo", "--alias", "short-lived")
    rows = {one["alias"]: one for one in cloister.json("model", "alias", "list")}
    assert rows["short-lived"]["model"] == "demo"
    assert rows["short-lived"]["by"].startswith("cli:")
    assert "short-lived" in cloister.call("model", "alias", "list").stdout
    (demo,) = (one for one in cloister.json("model", "list") if one["name"] == "demo")
    assert "short-lived" in demo["aliases"]
    assert cloister.call("model", "alias", "remove", "short-lived").returncode == 0
    key = cloister.key("late-system")
    assert _ask(cloister, key, "short-lived").json()["error"]["code"] == "model_not_found"
    gone = cloister.call("model", "alias", "remove", "short-lived")
    assert (gone.returncode, "no alias 'short-lived'" in gone.stderr) == (1, True)
    assert _moves(cloister, "short-lived")[-1] == ("engine:alias:removed", None)


def test_ps_counts_what_was_asked_and_answered(cloister: Cloister) -> None:
    def row() -> dict[str, Any]:
        (found,) = (one for one in cloister.json("model", "ps") if one["model"] == "demo")
        return found

    before = row()
    usage = _ask(cloister, cloister.key("counted"), "demo").json()["usage"]
    after = row()
    assert after["answer_tokens"] >= before["answer_tokens"] + usage["completion_tokens"]
    assert after["prompt_tokens"] == before["prompt_tokens"] + usage["prompt_tokens"]
    assert after["state"] == "ready"
    assert after["size"] > after["weights_bytes"] > 0
    assert after["processor"] == "CPU, 1 thread"
    assert (after["flash"], after["cache"]) == ("auto", "f16/f16")
    assert after["restarts"] == after["queued"] == 0
    assert after["tokens_per_second"] > 0
    _ask(cloister, cloister.key("counted-again"), "demo")
    again = row()
    assert again["requests"] == after["requests"] + 1
    assert again["prefix_hits"] >= after["prefix_hits"]
    assert again["shared_tokens"] >= after["shared_tokens"]
    heading = cloister.call("model", "ps").stdout.splitlines()[0]
    for column in (
        "model",
        "aliases",
        "state",
        "size",
        "tokens per second",
        "prefix hits",
        "restarts",
        "flash",
        "cache",
    ):
        assert column in heading


@contextmanager
def _watching(cloister: Cloister) -> Iterator[int]:
    """The terminal of `cloister model ps --watch`; at the end of the block Ctrl-C ends it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(CLOISTER), "model", "ps", "--watch"],
        env={**cloister.environment, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with closing(os.fdopen(ours, "rb", buffering=0)) as screen:
        try:
            yield screen.fileno()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def test_watch_refreshes_until_ctrl_c(cloister: Cloister) -> None:
    with _watching(cloister) as terminal:
        assert b"Traceback" not in _read_until(terminal, b"prefix hits", 3)


def test_watch_outlasts_the_engine(cloister: Cloister) -> None:
    with _watching(cloister) as terminal:
        _read_until(terminal, b"prefix hits", 1)
        cloister.process_of("appliance.engine").kill()
        away = _read_until(terminal, b"The engine does not answer.", 1)
        assert b"Traceback" not in away
        wait_until(lambda: _is_ready(cloister), 60, "ready model")
        # What was on the way meanwhile, and then some: it still redraws.
        _read_until(terminal, b"prefix hits", 5)


def _is_ready(cloister: Cloister) -> bool:
    done = cloister.call("model", "ps", "--json")
    return done.returncode == 0 and json.loads(done.stdout)[0]["state"] == "ready"


def _read_until(terminal: int, words: bytes, times: int) -> bytes:
    deadline, seen = time.monotonic() + 60, b""
    while seen.count(words) < times:
        ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
        assert ready, seen
        seen += os.read(terminal, 4096)
    return seen


@pytest.mark.parametrize(
    "command",
    [
        ["ps"],
        ["alias", "list"],
        ["rollback", "triage"],
        ["activate", "demo", "--alias", "triage"],
    ],
    ids=" ".join,
)
def test_without_a_running_appliance_the_error_says_so(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_STATE", str(tmp_path))
    done = CliRunner().invoke(cli, ["model", *command])
    assert done.exception is not None
    assert "run" in str(done.exception)
