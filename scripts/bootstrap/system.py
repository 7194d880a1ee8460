"""Debian packages: which are missing, and how to get them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.bootstrap.terminal import say

_COMPILER = {"build-essential", "cmake", "ninja-build"}
_LISTS = Path("/var/lib/apt/lists")


class MissingPackagesError(Exception):
    """Packages are missing and this user may not install them."""


def packages_needed(listing: Path, *, compile_too: bool = True) -> list[str]:
    """Read a package list; leave out what this interpreter and the wheel cache make needless."""
    lines = listing.read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not compile_too:
        names = [name for name in names if name not in _COMPILER]
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        names = [name for name in names if name != "python3-venv"]
    elif Path(sys.executable).name != "python3":
        venv = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        names = [venv if name == "python3-venv" else name for name in names]
    return names


def ensure_packages(names: list[str]) -> None:
    """Install those packages that are missing.

    Raises:
        MissingPackagesError: neither root nor password-less sudo is at hand; its text is the one
            line to copy and paste.
        subprocess.CalledProcessError: apt-get failed; its output is on the terminal.
    """
    missing = [name for name in names if not _installed(name)]
    if not missing:
        return
    say(f"System packages: {' '.join(missing)}")
    prefix = _privilege()
    if prefix is None or shutil.which("apt-get") is None:
        raise MissingPackagesError(
            "Cloister needs system packages that this user can not install. Copy and paste:\n\n"
            f"    {_paste_line(missing)}\n\nThen run the same command again."
        )
    if not any(_LISTS.glob("*_Packages*")):
        _apt(prefix, "update")
    try:
        _apt(prefix, "install", "-y", "--no-install-recommends", *missing)
    except subprocess.CalledProcessError:
        # The lists may name versions that the mirror has since replaced.
        _apt(prefix, "update")
        _apt(prefix, "install", "-y", "--no-install-recommends", *missing)


def _installed(name: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    query = ["dpkg-query", "-W", "-f=${db:Status-Status}", name]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout == "installed"


def _privilege() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        probe = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            return ["sudo", "-n"]
    return None


def _paste_line(missing: list[str]) -> str:
    line = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(missing)}"
    become_root = "sudo sh" if shutil.which("sudo") else "su root"
    return f"{become_root} -c '{line}'"


def _apt(prefix: list[str], *arguments: str) -> None:
    subprocess.run(
        [
            *prefix,
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-qq",
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Dpkg::Use-Pty=0",
            *arguments,
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
