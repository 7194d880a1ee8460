"""The environment with the programs of others, made by `make peers`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / ".venv-peers/bin/python"


def ask_peer(program: str, data: bytes, *arguments: str | Path) -> str:
    """Run a program in it with the data on its standard input; returns what it prints."""
    if not PYTHON.exists():
        pytest.skip("no .venv-peers here, so the peers were NOT asked: make peers")
    command = [PYTHON, "-W", "ignore", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()
