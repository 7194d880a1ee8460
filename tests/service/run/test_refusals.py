"""What `cloister run` refuses: one clear line with the remedy, exit code 1, nothing left behind."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from tests.support.cloister import Cloister, tiny_model_tree


@pytest.fixture
def state(tmp_path: Path) -> Path:
    tiny_model_tree(tmp_path / "var")
    return tmp_path / "var"


def _refused(cloister: Cloister, *words: str) -> None:
    """A start ends in one error line with all the words."""
    done = cloister.call("run")
    assert done.returncode == 1, done.stdout
    errors = done.stderr.splitlines()
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("Error: ")
    for word in words:
        assert word in errors[0]
    assert "ready" not in done.stdout


def test_a_second_run_on_the_same_state(cloister: Cloister) -> None:
    other = Cloister(cloister.state)
    _refused(other, f"process {cloister.manager.pid}", str(cloister.state), "CLOISTER_STATE=")
    assert cloister.call("audit", "status").returncode == 0


def test_a_port_in_use(state: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        _refused(Cloister(state, port), f"Port {port}", f"CLOISTER_PORT={port + 1}")


def test_a_missing_model_file(state: Path) -> None:
    (state / "srv/cloister/models/demo.gguf").unlink()
    _refused(Cloister(state), "demo.gguf", "missing", "Put it back", "rm ")


def test_a_changed_model_file(state: Path) -> None:
    """The digest is checked at the load: with other bytes the engine refuses the model."""
    weights = state / "srv/cloister/models/demo.gguf"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    _refused(Cloister(state), "'demo' can not be loaded", str(state / "srv/cloister/models"))


@pytest.mark.parametrize("folder", [".", "var/lib/cloister/audit", "var/lib/cloister/web"])
def test_a_folder_that_is_open_to_others(state: Path, folder: str) -> None:
    place = state / folder
    place.mkdir(parents=True, mode=0o700, exist_ok=True)
    place.chmod(0o755)
    _refused(Cloister(state), "0755", f"chmod 0700 {place}")


def test_a_state_tree_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _refused(Cloister(tmp_path / "file/var"), "CLOISTER_STATE")


def test_a_clock_before_the_release(state: Path) -> None:
    cloister = Cloister(state)
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    cloister.environment |= {"LD_PRELOAD": str(library), "FAKETIME": "@2020-05-01 12:00:00"}
    _refused(cloister, "2020-05-01", "date --set")


def test_a_clock_before_the_last_checkpoint(state: Path) -> None:
    head = state / "var/lib/cloister-head/head.log"
    for folder in (state / "var", state / "var/lib", head.parent):
        folder.mkdir(mode=0o700)
    head.touch()
    later = time.time() + 3600
    os.utime(head, (later, later))
    _refused(Cloister(state), "last checkpoint", "date --set")


def test_a_disk_that_is_nearly_full(state: Path) -> None:
    cloister = Cloister(state)
    cloister.environment["CLOISTER_DISK_MINIMUM_MIB"] = "999999999"
    _refused(cloister, "MiB are free", "Free some room")


def test_a_setting_that_can_not_be(state: Path) -> None:
    cloister = Cloister(state)
    cloister.environment["CLOISTER_PORT"] = "http"
    _refused(cloister, "CLOISTER_PORT", "integer")


def test_a_setting_that_there_is_not(state: Path) -> None:
    file = state / "etc/cloister/appliance.toml"
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text("prot = 8080\n")
    _refused(Cloister(state), "prot", "no such setting", "appliance.toml")


def test_a_settings_file_that_is_no_toml(state: Path) -> None:
    file = state / "etc/cloister/appliance.toml"
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text("port: 8080\n")
    _refused(Cloister(state), "appliance.toml", "no TOML", "line 1")


def test_officers_of_one_group_only(state: Path) -> None:
    file = state / "etc/cloister/officers.json"
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text('{"version": 1, "groups": {"compliance": [], "security": []}}')
    done = Cloister(state).call("run")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The audit writer ended")
    assert "cloister-audit keygen" in done.stderr
    assert "Traceback" not in done.stderr
