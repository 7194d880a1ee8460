"""Somebody who has never seen the project clones it into an empty folder and follows the README.

The clone has what git has, and what is not committed yet but not ignored either. The tests of this
file build on one another, in order: one `make run`, the README's commands beside it, Ctrl-C, a
second `make run`, then `make test`.

The README's `make test` runs these very tests, so here it is bounded to one folder of tests
(`TESTS=`): with the whole of `tests` the clone would clone itself without end. All that `make test`
does besides pytest's selection (getting ready, every check, coverage) happens in full.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.repository.readme import Shell, Step, programs, steps
from tests.repository.tree import ROOT, files
from tests.support.cloister import READY, alive, free_port
from tests.support.wait import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_README = (ROOT / "README.md").read_text()
_DEFAULT = "127.0.0.1:8080"
# The compiler may have to run, on a machine that is busy with other tests.
_FIRST_START = 1200.0


class MakeRun:
    """`make run` in a clone, as in a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = _plain_environment() | {"CLOISTER_PORT": str(self.port)}
        self.output = ""
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, timeout: float) -> re.Match[str]:
        self.output = ""
        self._process = subprocess.Popen(
            ["make", "run"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return wait_until(self._ready, timeout, "ready line")

    def ctrl_c(self) -> list[psutil.Process]:
        """What a terminal does: SIGINT to the whole foreground group. Returns all there was."""
        process = self._process
        if process is None:
            return []
        top = psutil.Process(process.pid)
        family = [top, *top.children(recursive=True)]
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(90)
        finally:
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            self._process = None
        assert self._reader is not None
        self._reader.join()
        assert process.stdout is not None
        process.stdout.close()
        return family

    def _ready(self) -> re.Match[str] | None:
        assert self._process is not None
        found = READY.search(self.output)
        assert found or self._process.poll() is None, self.output
        return found

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line


def _plain_environment() -> dict[str, str]:
    """The environment of a person who has just signed in: nothing of the test run in it."""
    strange = ("CLOISTER_", "PYTEST_", "COV_", "COVERAGE_", "MAKE", "MFLAGS", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    venv = str(Path(sys.executable).parent)
    folders = kept["PATH"].split(os.pathsep)
    return kept | {"PATH": os.pathsep.join(one for one in folders if one != venv)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "cloister"
    for file in files():
        target = folder / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=m"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def made(clone: Path) -> Iterator[MakeRun]:
    make_run = MakeRun(clone)
    try:
        make_run.start(_FIRST_START)
        yield make_run
    finally:
        make_run.ctrl_c()


def test_make_run_ends_with_the_ready_line_and_a_password(made: MakeRun) -> None:
    ready = READY.search(made.output)
    assert ready is not None
    assert made.output.rstrip().splitlines()[-1] == ready[0]
    assert (ready["url"], ready["user"]) == (f"http://127.0.0.1:{made.port}", "admin")
    assert ready["password"]
    assert Step(
        "make run", steps(_README)[0].shown.replace(_DEFAULT, f"127.0.0.1:{made.port}")
    ).matches(made.output)


def test_the_one_time_password_signs_in(made: MakeRun) -> None:
    ready = READY.search(made.output)
    assert ready is not None
    with httpx.Client(base_url=ready["url"], follow_redirects=True) as browser:
        page = browser.get("/").text
        token = re.search(r'name="csrf[^"]*" value="([^"]+)"', page)
        fields = {"name": ready["user"], "password": ready["password"]}
        if token is not None:
            fields[re.search(r'name="(csrf[^"]*)"', page)[1]] = token[1]  # type: ignore[index]
        action = re.search(r'<form[^>]*action="([^"]+)"', page)
        assert action is not None
        answer = browser.post(action[1], data=fields, headers={"Origin": ready["url"]})
        assert answer.status_code == 200
        assert "password" in answer.text.lower()
        assert "wrong" not in answer.text.lower()


def test_every_command_of_the_readme_says_what_the_readme_shows(made: MakeRun) -> None:
    here = f"127.0.0.1:{made.port}"
    shell = Shell(made.folder, made.environment)
    try:
        for step in steps(_README)[2:]:
            command, shown = (text.replace(_DEFAULT, here) for text in (step.command, step.shown))
            output = shell.run(command)
            assert Step(command, shown).matches(output), f"$ {command}\n{output}"
        for program in programs(_README):
            file = made.folder.parent / "program.py"
            file.write_text(program.replace(_DEFAULT, here))
            output = shell.run(f"KEY=$KEY {sys.executable} {file} && echo done")
            assert output.strip().endswith("done"), output
    finally:
        shell.close()


def test_ctrl_c_leaves_nothing_and_a_second_make_run_starts_within_seconds(made: MakeRun) -> None:
    family = made.ctrl_c()
    assert len(family) >= 7
    assert [one for one in family if alive(one)] == []
    # Seconds on a quiet machine; busy ones get more, and what would take minutes shows as a step.
    again = made.start(120)
    assert "==>" not in made.output
    assert again["password"] is None
    made.ctrl_c()


def test_make_test_passes_in_the_clone(made: MakeRun) -> None:
    """Bounded to one folder of tests; the docstring of this file says why."""
    done = subprocess.run(
        ["make", "test", "TESTS=tests/unit/host"],
        cwd=made.folder,
        env=_plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert re.search(r"\d+ passed", done.stdout)
    assert "Contracts: " in done.stdout
    assert "TOTAL" in done.stdout


def test_the_clone_is_as_clean_as_before(made: MakeRun) -> None:
    """All that `make run` and `make test` leave behind is ignored by git."""
    status = ["git", "status", "--porcelain"]
    done = subprocess.run(status, cwd=made.folder, capture_output=True, text=True, check=True)
    assert done.stdout == ""
