"""A unit starts the same programs as `cloister run`, with the same arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.host.programs import programs
from appliance.settings import Settings


def test_sockets_that_are_links_are_listened_on_where_they_lead(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    settings.run.mkdir(parents=True)
    own = tmp_path / "own"
    settings.engine_socket.symlink_to(own / "engine.sock")
    writer, engine, _ = programs(settings)
    assert f"--socket={settings.audit_socket}" in writer.arguments
    assert f"--socket={own}/engine.sock" in engine.arguments
    assert f"--run-dir={own}" in engine.arguments


def _become(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance.host", *words],
        env={**os.environ, "CLOISTER_STATE": str(state)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "word"), [("writer", "--allow-uid"), ("engine", "--models"), ("web", "gunicorn")]
)
def test_each_name_becomes_its_program(tmp_path: Path, name: str, word: str) -> None:
    done = _become(tmp_path, name, "--help")
    assert done.returncode == 0
    assert word in done.stdout


def test_the_forwarder_is_one_where_a_log_host_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _become(tmp_path, "forwarder")
    assert (done.returncode, done.stdout) == (2, "")
    assert "audit_forward" in done.stderr
    monkeypatch.setenv("CLOISTER_AUDIT_FORWARD", "tcp://127.0.0.1:514")
    done = _become(tmp_path, "forwarder", "--help")
    assert done.returncode == 0
    assert "--to" in done.stdout


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    done = _become(tmp_path, "everything")
    assert done.returncode == 2
    assert "writer,engine,web" in done.stderr


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "etc/cloister").mkdir(parents=True)
    (tmp_path / "etc/cloister/appliance.toml").write_text("port = 0\n")
    done = _become(tmp_path, "web")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "CLOISTER_PORT" in done.stderr
