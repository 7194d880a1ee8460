"""A program for the tests of the process manager: `python -m tests.support.program MODE [FILE]`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

_MODULE = "tests.support.program"


def _serve(file: Path) -> None:
    """Say that it serves by making the file; at SIGTERM write down the end, and end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print(f"serving {file.name}", flush=True)
    file.touch()
    signal.sigwait({signal.SIGTERM})
    with (file.parent / "ended").open("a") as ended:
        ended.write(f"{file.name}\n")


def _stubborn(file: Path) -> None:
    """Serve, and ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    file.touch()
    while True:
        signal.pause()


def _parent(file: Path) -> None:
    """Serve with a stubborn child of its own."""
    with subprocess.Popen([sys.executable, "-m", _MODULE, "stubborn", str(file)]):
        signal.pause()


def _fail(file: Path) -> None:
    """Say why, and end."""
    print(f"no {file.name} today", file=sys.stderr)
    sys.exit(3)


if __name__ == "__main__":
    {"serve": _serve, "stubborn": _stubborn, "parent": _parent, "fail": _fail}[sys.argv[1]](
        Path(sys.argv[2])
    )
