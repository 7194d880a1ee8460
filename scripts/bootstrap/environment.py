"""The virtual environment, and what is remembered of how it was made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from scripts.bootstrap.terminal import say

_INPUTS = {
    "run": ["pip.txt", "runtime.txt", "build.txt", "llama.txt"],
    "test": ["pip.txt", "runtime.txt", "build.txt", "llama.txt", "dev.txt"],
}


class Environment:
    """`.venv` under one checkout, made with one interpreter.

    Args:
        root: The checkout.
        interpreter: What a new environment is made with.
        insist: An environment of another version of Python does not do.
    """

    def __init__(self, root: Path, interpreter: Path, *, insist: bool = False) -> None:
        """Look at nothing yet."""
        self.root = root
        self._insist = insist
        self.path = root / ".venv"
        self.python = self.path / "bin/python"
        self._interpreter = interpreter

    def is_current(self, goal: str) -> bool:
        """Say whether the environment was made from these very files, in this place."""
        try:
            kept = json.loads(self._stamp(goal).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if kept != self._state(goal) or not self.python.exists():
            return False
        return not self._insist or self._same_version()

    def remember(self, goal: str) -> None:
        """Write down what the environment was made from."""
        state = json.dumps(self._state(goal), indent=2) + "\n"
        self._stamp(goal).write_text(state, encoding="utf-8")

    def create(self) -> None:
        """Make the environment anew where it is missing, moved or of another interpreter."""
        if self._usable():
            return
        say(f"Virtual environment {self.path}")
        shutil.rmtree(self.path, ignore_errors=True)
        subprocess.run([str(self._interpreter), "-m", "venv", str(self.path)], check=True)

    def install(self, listing: str) -> None:
        """Install one hash-pinned file of `requirements/`."""
        self.pip("install", "--require-hashes", "-r", str(self.root / "requirements" / listing))

    def install_wheel(self, wheel: Path) -> None:
        """Install one wheel that this machine built; its dependencies are pinned elsewhere."""
        self.pip("install", "--no-deps", "--no-index", "--force-reinstall", str(wheel))

    def install_project(self, backends: Path) -> None:
        """Install this checkout in place, for its commands."""
        self.pip(
            "install",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--editable",
            str(self.root),
            backends=backends,
        )

    @contextlib.contextmanager
    def build_backends(self) -> Iterator[Path]:
        """Lend a folder with the pinned build back ends, apart from the environment."""
        with tempfile.TemporaryDirectory(prefix="cloister-build-") as folder:
            listing = str(self.root / "requirements/build.txt")
            self.pip("install", "--require-hashes", "--target", folder, "-r", listing)
            yield Path(folder)

    def pip(self, *arguments: str, backends: Path | None = None) -> None:
        """Run the environment's pip quietly; the index is whatever this machine's pip is set to."""
        # Twice: errors only. Warnings are about the machine's own pip settings.
        command = [*self.pip_command(), arguments[0], "-qq", *arguments[1:]]
        subprocess.run(command, check=True, env=self.variables(backends))

    def pip_command(self) -> list[str]:
        """The environment's pip as the start of a command line."""
        return [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input"]

    def variables(self, backends: Path | None = None) -> dict[str, str]:
        """The process environment for pip, with the build back ends importable."""
        variables = dict(os.environ)
        variables.pop("PYTHONPATH", None)
        if backends is not None:
            variables["PYTHONPATH"] = str(backends)
        return variables

    def _usable(self) -> bool:
        config = self.path / "pyvenv.cfg"
        pip = self.path / "bin/pip"
        if not config.exists() or not pip.exists():
            return False
        moved = str(self.path) not in pip.read_text(encoding="utf-8").splitlines()[0]
        return not moved and self._same_version()

    def _same_version(self) -> bool:
        return self._version(self.python) == self._version(self._interpreter)

    @staticmethod
    def _version(python: Path) -> str:
        """The version as text; empty where the interpreter is gone."""
        code = "import sys; print(sys.version_info[:2])"
        command = [str(python), "-c", code]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError:
            return ""

    def _stamp(self, goal: str) -> Path:
        return self.path / f"stamp-{goal}.json"

    def _state(self, goal: str) -> dict[str, str]:
        folder = self.root / "requirements"
        state = {name: _digest(folder / name) for name in _INPUTS[goal]}
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
        # Settings of linters and tests are in that file too; they change nothing here.
        installed = [project["build-system"], project["project"], project["tool"]["setuptools"]]
        digest = hashlib.sha256(json.dumps(installed, sort_keys=True).encode()).hexdigest()
        return state | {"project": digest, "at": str(self.path)}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
