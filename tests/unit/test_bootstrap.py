"""What `make` does before anything of ours is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.bootstrap import environment as environments
from scripts.bootstrap import system
from scripts.bootstrap.environment import Environment
from scripts.bootstrap.terminal import Progress, clock
from scripts.bootstrap.wheel import cached_wheel

ROOT = Path(__file__).resolve().parents[2]


def _command(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no package installed, whose apt-get writes down what it is asked."""
    commands = tmp_path / "bin"
    log = tmp_path / "apt.log"
    _command(commands, "dpkg-query", "exit 1")
    _command(commands, "apt-get", f'echo "$DEBIAN_FRONTEND $*" >> {log}')
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    return log


def test_missing_packages_are_installed_without_a_question(
    debian: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(system, "_LISTS", debian.parent)
    system.ensure_packages(["cmake", "ninja-build"])
    update, install = debian.read_text().splitlines()
    assert update.split()[0] == install.split()[0] == "noninteractive"
    assert update.endswith(" update")
    assert install.endswith(" install -y --no-install-recommends cmake ninja-build")


def test_sudo_is_used_where_it_asks_nothing(debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    _command(debian.parent / "bin", "sudo", '[ "$1" = -n ] && shift && exec "$@"')
    system.ensure_packages(["cmake"])
    assert debian.read_text().splitlines()[-1].endswith("install -y --no-install-recommends cmake")


@pytest.mark.parametrize(("sudo", "line"), [(False, "su root -c '"), (True, "sudo sh -c '")])
def test_without_root_one_line_names_what_is_missing(
    debian: Path, monkeypatch: pytest.MonkeyPatch, sudo: bool, line: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(debian.parent / "bin"))
    if sudo:
        _command(debian.parent / "bin", "sudo", "exit 1")
    with pytest.raises(system.MissingPackagesError) as raised:
        system.ensure_packages(["cmake", "age"])
    lines = [one.strip() for one in str(raised.value).splitlines() if "apt-get" in one]
    command = "apt-get update && apt-get install -y --no-install-recommends cmake age"
    assert lines == [f"{line}{command}'"]
    assert not debian.exists()


def test_stale_package_lists_are_renewed_once(
    debian: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(system, "_LISTS", debian.parent)
    (debian.parent / "main_Packages.lz4").touch()
    fails_first = f'echo "$*" >> {debian}; [ "$(wc -l < {debian})" -gt 1 ] || exit 100'
    _command(debian.parent / "bin", "apt-get", fails_first)
    system.ensure_packages(["cmake"])
    verbs = [line.split("Use-Pty=0 ")[1].split()[0] for line in debian.read_text().splitlines()]
    assert verbs == ["install", "update", "install"]


def test_installed_packages_cost_nothing(debian: Path) -> None:
    _command(debian.parent / "bin", "dpkg-query", "printf installed")
    system.ensure_packages(["cmake"])
    assert not debian.exists()


def test_no_compiler_is_asked_for_where_the_wheel_is_there(tmp_path: Path) -> None:
    names = system.packages_needed(ROOT / "requirements/debian-run.txt", compile_too=False)
    assert not {"build-essential", "cmake", "ninja-build"} & set(names)
    assert "cmake" in system.packages_needed(ROOT / "requirements/debian-run.txt")


def test_a_python_that_is_too_old_is_refused_with_its_remedy(tmp_path: Path) -> None:
    _command(tmp_path / "bin", "oldpython", "exit 1")
    done = subprocess.run(
        [ROOT / "scripts/find-python"],
        env={"PATH": f"{tmp_path / 'bin'}:/bin", "PYTHON": "oldpython"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "3.11, 3.12 or 3.13" in done.stderr
    assert "Remedy" in done.stderr


def test_a_python_of_the_right_age_is_found() -> None:
    done = subprocess.run(
        [ROOT / "scripts/find-python"], capture_output=True, text=True, check=True
    )
    code = "import sys; print((3, 11) <= sys.version_info[:2] <= (3, 13))"
    command = [done.stdout.strip(), "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the environment's state is made of."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    return tmp_path


@pytest.mark.parametrize("name", ["runtime.txt", "llama.txt", "build.txt", "pip.txt"])
def test_a_changed_pin_makes_the_environment_stale(checkout: Path, name: str) -> None:
    environment = Environment(checkout, Path(sys.executable))
    assert not environment.is_current("run")
    environment.remember("run")
    assert environment.is_current("run")
    with (checkout / "requirements" / name).open("a") as file:
        file.write("# changed\n")
    assert not environment.is_current("run")


def test_a_changed_lint_rule_keeps_the_environment(checkout: Path) -> None:
    environment = Environment(checkout, Path(sys.executable))
    environment.remember("run")
    file = checkout / "pyproject.toml"
    file.write_text(file.read_text().replace("line-length = 100", "line-length = 99"))
    assert environment.is_current("run")
    file.write_text(file.read_text().replace('"flask",', ""))
    assert not environment.is_current("run")


def test_a_moved_checkout_gets_a_new_environment(checkout: Path, tmp_path: Path) -> None:
    Environment(checkout, Path(sys.executable)).remember("run")
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    checkout.rename(moved)
    assert not Environment(moved, Path(sys.executable)).is_current("run")


def test_an_interpreter_that_was_asked_for_by_name_is_the_one_that_is_used(
    checkout: Path, tmp_path: Path
) -> None:
    _command(tmp_path, "python3.99", "echo '(3, 99)'")
    (checkout / ".venv/bin/python").unlink()
    (checkout / ".venv/bin/python").symlink_to(sys.executable)
    Environment(checkout, Path(sys.executable)).remember("run")
    other = tmp_path / "python3.99"
    assert Environment(checkout, other).is_current("run")
    assert not Environment(checkout, other, insist=True).is_current("run")
    assert Environment(checkout, Path(sys.executable), insist=True).is_current("run")


def test_a_damaged_wheel_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wheel = cached_wheel(ROOT / "requirements/llama.txt")
    assert not wheel.exists()
    made = tmp_path / "llama_cpp_python-0-py3-none-any.whl"
    made.write_bytes(b"wheel")
    wheel._store(made)
    assert cached_wheel(ROOT / "requirements/llama.txt").exists()
    assert wheel.path.name == made.name
    wheel.path.write_bytes(b"whee1")
    assert not wheel.exists()


def test_another_source_is_another_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    other = tmp_path / "llama.txt"
    other.write_text("llama-cpp-python==0")
    first, second = cached_wheel(ROOT / "requirements/llama.txt"), cached_wheel(other)
    assert first._folder != second._folder


def test_progress_is_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("compiling")
    for done in range(1, 141):
        progress.update(done, 140)
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[-1].strip().startswith("compiling 100 %")
    assert "\r" not in "".join(lines)


def test_a_clock_shows_minutes_and_seconds() -> None:
    assert (clock(0), clock(61.9), clock(3600)) == ("0:00", "1:01", "60:00")


def test_the_project_is_installed_from_what_the_stamp_covers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {"build-system", "project"} <= set(project)
    assert set(environments._INPUTS["run"]) < set(environments._INPUTS["test"])
