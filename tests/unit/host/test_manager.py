"""The process manager with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from appliance.host.child import Program
from appliance.host.errors import ProcessFailedError, StoppedError
from appliance.host.manager import Manager, child_environment
from tests.support.cloister import alive
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[3]


def _program(mode: str, file: Path, **changes: float) -> Program:
    seconds = {"start_seconds": 20.0, "stop_seconds": 10.0, **changes}
    return Program(
        f"{file.name} program",
        "tests.support.program",
        (mode, str(file)),
        file.exists,
        start_seconds=seconds["start_seconds"],
        stop_seconds=seconds["stop_seconds"],
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Iterator[Manager]:
    monkeypatch.chdir(ROOT)
    with Manager(child_environment(tmp_path), tmp_path, said.append) as made:
        yield made
    assert made.pids == []


def _later(act: Callable[[], object], when: Callable[[], object]) -> threading.Thread:
    """Do something from another thread once a condition holds; signals reach the main thread."""

    def wait() -> None:
        wait_until(when, 20, "condition")
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_program_is_started_and_its_words_are_kept(manager: Manager, tmp_path: Path) -> None:
    manager.start(_program("serve", tmp_path / "one"))
    assert len(manager.pids) == 1
    _later(_interrupt, lambda: True).join()
    manager.watch()
    assert (tmp_path / "one.log").read_text() == "serving one\n"


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words(
    manager: Manager, tmp_path: Path
) -> None:
    with pytest.raises(ProcessFailedError, match=r"(?s)ended.*no bread today.*bread\.log"):
        manager.start(_program("fail", tmp_path / "bread"))


def test_a_program_that_never_gets_ready_is_an_error(manager: Manager, tmp_path: Path) -> None:
    slow = _program("serve", tmp_path / "x", start_seconds=1)
    never = Program(slow.name, slow.module, slow.arguments, lambda: False, 1, 5)
    with pytest.raises(ProcessFailedError, match="not ready within 1 seconds"):
        manager.start(never)


def test_a_stop_while_starting_stops(manager: Manager, tmp_path: Path) -> None:
    slow = _program("serve", tmp_path / "x")
    never = Program(slow.name, slow.module, slow.arguments, lambda: False, 20, 5)
    thread = _later(_interrupt, (tmp_path / "x").exists)
    with pytest.raises(StoppedError):
        manager.start(never)
    thread.join()


def test_a_killed_program_is_started_again(
    manager: Manager, tmp_path: Path, said: list[str]
) -> None:
    file = tmp_path / "one"
    manager.start(_program("serve", file))
    first = manager.pids[0]
    file.unlink()
    os.kill(first, signal.SIGKILL)
    thread = _later(_interrupt, file.exists)
    manager.watch()
    thread.join()
    assert manager.pids[0] != first
    log = tmp_path / "one.log"
    assert said == [f"The one program ended; starting it again. What it said: {log}"]


def test_what_a_killed_program_started_dies_with_it(manager: Manager, tmp_path: Path) -> None:
    file = tmp_path / "one"
    manager.start(_program("parent", file))
    grandchild = psutil.Process(manager.pids[0]).children()[0]
    file.unlink()
    os.kill(manager.pids[0], signal.SIGKILL)
    thread = _later(_interrupt, file.exists)
    manager.watch()
    thread.join()
    assert not alive(grandchild)


def test_a_stubborn_program_is_killed_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with Manager(child_environment(tmp_path), tmp_path, print) as manager:
        manager.start(_program("stubborn", tmp_path / "one", stop_seconds=0.5))
        stubborn = psutil.Process(manager.pids[0])
        begin = time.monotonic()
    assert not alive(stubborn)
    assert time.monotonic() - begin < 5


def test_programs_stop_in_reverse_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with Manager(child_environment(tmp_path), tmp_path, print) as manager:
        for name in ("first", "second", "third"):
            manager.start(_program("serve", tmp_path / name))
    assert (tmp_path / "ended").read_text().split() == ["third", "second", "first"]


def test_kill_9_of_the_manager_ends_its_children(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from appliance.host.child import Program\n"
        "from appliance.host.manager import Manager, child_environment\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "file = folder / 'one'\n"
        "program = Program('one program', 'tests.support.program', ('serve', str(file)),\n"
        "                  file.exists, 20, 5)\n"
        "with Manager(child_environment(folder), folder, print) as manager:\n"
        "    manager.start(program)\n"
        "    (folder / 'pids').write_text(str(manager.pids[0]))\n"
        "    (folder / 'up').touch()\n"
        "    manager.watch()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as parent:
        wait_until((tmp_path / "up").exists, 20, "manager")
        child = psutil.Process(int((tmp_path / "pids").read_text()))
        parent.kill()
    wait_until(lambda: not alive(child), 10, "end of the child")
