"""llama-cpp-python, compiled once for this processor and kept for the next checkout."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.bootstrap.environment import Environment
from scripts.bootstrap.terminal import Progress, say

CMAKE_ARGS = "-DLLAVA_BUILD=OFF -DGGML_NATIVE=ON"
_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\] ")
_TAIL = 40  # lines of the compiler's output shown when it fails


class BuildError(Exception):
    """The compiler failed; the text has its last lines."""


class CachedWheel:
    """One wheel in the user's cache, with its digest written beside it."""

    def __init__(self, folder: Path, requirements: Path) -> None:
        """Keep the wheel in `folder`; `requirements` names its source."""
        self._folder = folder
        self._requirements = requirements

    def exists(self) -> bool:
        """Say whether a wheel is there and still has the digest that it was stored with."""
        try:
            digest, name = (self._folder / "SHA256SUMS").read_text(encoding="utf-8").split()
            content = (self._folder / name).read_bytes()
        except (OSError, ValueError):
            return False
        return hashlib.sha256(content).hexdigest() == digest

    @property
    def path(self) -> Path:
        """The wheel; call `exists` or `build` first."""
        return next(self._folder.glob("*.whl"))

    def build(self, environment: Environment, backends: Path) -> None:
        """Compile the pinned source, with progress, and store the wheel.

        Raises:
            BuildError: the build failed.
        """
        say("Compiling llama.cpp for this processor (once; about five minutes on two cores)")
        with tempfile.TemporaryDirectory(prefix="cloister-wheel-") as folder:
            command = [
                *environment.pip_command(),
                "wheel",
                "--verbose",
                "--no-deps",
                "--no-build-isolation",
                "--no-cache-dir",
                "--require-hashes",
                "--no-binary=:all:",
                f"--wheel-dir={folder}",
                f"--requirement={self._requirements}",
            ]
            variables = environment.variables(backends) | {"CMAKE_ARGS": CMAKE_ARGS}
            _run_with_progress(command, variables)
            self._store(next(Path(folder).glob("*.whl")))

    def _store(self, wheel: Path) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o700)
        shutil.copyfile(wheel, self._folder / wheel.name)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        # Written last: a folder without it counts as empty.
        (self._folder / "SHA256SUMS").write_text(f"{digest}  {wheel.name}\n", encoding="utf-8")


def cached_wheel(requirements: Path) -> CachedWheel:
    """Find the cache entry for this source, these options, this processor and this C library."""
    libc = "-".join(platform.libc_ver())
    parts = [requirements.read_text(encoding="utf-8"), CMAKE_ARGS, platform.machine(), libc]
    key = hashlib.sha256("\n".join([*parts, _processor_flags()]).encode()).hexdigest()[:32]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return CachedWheel(cache / "cloister/wheels" / key, requirements)


def _processor_flags() -> str:
    """What the compiler's -march=native looks at: `flags` on x86_64, `Features` on aarch64."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        lines = {line for line in cpuinfo if line.split("\t")[0] in {"flags", "Features"}}
    return " ".join(sorted(word for line in lines for word in line.split(":")[1].split()))


def _run_with_progress(command: list[str], variables: dict[str, str]) -> None:
    progress = Progress("compiling")
    tail: list[str] = []
    with subprocess.Popen(
        command,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101  (PIPE was asked for)
        for line in process.stdout:
            tail = [*tail[1 - _TAIL :], line.rstrip()[:300]]
            if step := _STEP.match(line):
                progress.update(int(step[1]), int(step[2]))
    progress.close()
    if process.returncode:
        raise BuildError("the compiler failed:\n" + "\n".join(tail))
