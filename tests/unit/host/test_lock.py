from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.host.errors import StateInUseError
from appliance.host.lock import holder, locked


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "run.lock"
    with locked(file, tmp_path):
        assert holder(file) == os.getpid()
        with pytest.raises(StateInUseError, match=f"process {os.getpid()}.*CLOISTER_STATE"):
            locked(file, tmp_path).__enter__()


def test_the_lock_is_free_after_its_block(tmp_path: Path) -> None:
    file = tmp_path / "run.lock"
    assert holder(file) is None
    with locked(file, tmp_path):
        pass
    assert holder(file) is None
    with locked(file, tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    file = tmp_path / "run.lock"
    code = (
        "import sys, pathlib, os, signal; from appliance.host.lock import locked\n"
        f"with locked(pathlib.Path({str(file)!r}), pathlib.Path('/')):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert file.read_text().strip()
    assert holder(file) is None
