"""`cloister run` from its first start to its end."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.cloister import READY, Cloister, alive, running, tiny_model_tree
from tests.support.wait import wait_until


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(alive(one) for one in processes)


def test_a_first_start_ends_with_the_ready_line_and_a_password_and_the_second_without(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "var") as cloister:
        ready = READY.search(cloister.output)
        assert ready is not None
        assert cloister.output.splitlines()[-1] == ready[0]
        assert (ready["url"], ready["user"]) == (cloister.url, "admin")
        assert ready["password"]
        assert "officers" in cloister.output
        assert cloister.stop() == 0
        again = cloister.start()
        assert again["password"] is None
        assert "officers" not in cloister.output


def test_ctrl_c_leaves_nothing_running_and_nothing_open(tmp_path: Path) -> None:
    with running(tmp_path / "var") as cloister:
        family = cloister.family()
        # The manager, the writer, the engine and its runner, gunicorn and its worker.
        assert len(family) >= 6
        assert cloister.stop(signal.SIGINT) == 0
        assert _gone(family)
        assert list((tmp_path / "var").rglob("*.sock")) == []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", cloister.port))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_stop_signals_stop_as_well(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "var") as cloister:
        family = cloister.family()
        assert cloister.stop(number) == 0
        assert _gone(family)


def test_ctrl_c_while_starting_stops(tmp_path: Path) -> None:
    tiny_model_tree(tmp_path / "var")
    with Cloister(tmp_path / "var") as cloister:
        cloister.begin()
        wait_until(lambda: "Starting the" in cloister.output, 60, "first step")
        family = cloister.family()
        assert cloister.stop() == 0
        assert _gone(family)


def test_kill_9_of_the_manager_leaves_nothing_and_the_next_start_works(tmp_path: Path) -> None:
    with running(tmp_path / "var") as cloister:
        family = cloister.family()
        os.kill(cloister.manager.pid, signal.SIGKILL)
        wait_until(lambda: _gone(family), 45, "end of all children")
        cloister.stop()
        cloister.start()
        assert httpx.get(f"{cloister.url}/healthz").status_code == 200


def test_it_runs_where_the_path_of_the_tree_is_too_long_for_sockets(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 20) / "var"
    with running(state) as cloister:
        assert len(str(state)) > 108
        assert cloister.call("audit", "status").returncode == 0


def _held(process: psutil.Process) -> int:
    """Resident bytes, a page that processes share divided by their number where one may look."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:  # the log's writer lets nobody look but root
        return int(process.memory_info().rss)


def test_idle_web_log_and_supervisor_take_less_than_250_mb(cloister: Cloister) -> None:
    for page in ("/sign-in", "/readyz"):
        assert httpx.get(cloister.url + page, timeout=60).status_code == 200
    parts = {"audit.writer": 0, "appliance.engine": 0, "gunicorn": 0}
    for process in cloister.family():
        words = process.cmdline()
        name = words[words.index("-m") + 1] if "-m" in words else ""
        if name in parts:
            parts[name] += _held(process)
    assert all(parts.values()), parts
    assert sum(parts.values()) < 250_000_000, parts


def test_doctor_says_that_all_is_well(cloister: Cloister) -> None:
    findings = cloister.json("doctor")
    assert {one["check"]: one["detail"] for one in findings if one["state"] != "ok"} == {}
    names = {one["check"] for one in findings}
    assert {"permissions", "models", "database", "log", "listening", "egress", "clock"} <= names


def test_doctor_finds_an_extra_listener(cloister: Cloister) -> None:
    """A listener below our manager is found, whatever opened it; here gdb is spared: we ask for
    the wrong port instead, so that the right one is the stranger."""
    cloister.environment["CLOISTER_PORT"] = str(cloister.port + 1)
    try:
        done = cloister.call("doctor")
    finally:
        cloister.environment["CLOISTER_PORT"] = str(cloister.port)
    assert done.returncode == 1
    assert f"listen on 127.0.0.1:{cloister.port} instead of" in " ".join(done.stdout.split())


def test_doctor_finds_what_is_wrong_when_nothing_runs(tmp_path: Path) -> None:
    tiny_model_tree(tmp_path / "var")
    (tmp_path / "var/srv/cloister/models/demo.gguf").write_bytes(b"GGUF changed")
    done = Cloister(tmp_path / "var").call("doctor")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "cloister run" in text
    assert "but its manifest says" in text
    assert "Traceback" not in done.stdout + done.stderr


def test_neither_logs_nor_terminal_hold_a_prompt_an_answer_or_a_password(
    tmp_path: Path,
) -> None:
    canary = "Xylophone-4711"
    with running(tmp_path / "var") as cloister:
        ready = READY.search(cloister.output)
        assert ready is not None
        key = cloister.key()
        done = cloister.call("task", "run", "triage", "--input", f"text={canary}")
        assert done.returncode == 0, done.stderr
        answer = httpx.post(
            f"{cloister.url}/v1/tasks/triage",
            json={"inputs": {"text": canary}},
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        cloister.stop()
        logs = list((tmp_path / "var/var/log/cloister").iterdir())
        words = "".join(log.read_text() for log in logs)
    assert {log.name for log in logs} == {"audit.log", "engine.log", "web.log"}
    for secret in (canary, done.stdout.strip(), key, ready["password"]):
        assert secret not in words
    assert canary not in cloister.output
