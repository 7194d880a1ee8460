"""Progress for people: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time

_PLAIN_INTERVAL = 30.0  # seconds between lines where there is no terminal


def say(text: str) -> None:
    """Print one step's heading."""
    print(f"==> {text}", flush=True)


def clock(seconds: float) -> str:
    """Write a duration in seconds as `m:ss`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """One line with percentage, time gone by and time left."""

    def __init__(self, label: str) -> None:
        """Start the clock; `label` stands at the line's start."""
        self._label = label
        self._start = time.monotonic()
        self._last_plain = -_PLAIN_INTERVAL
        self._terminal = sys.stdout.isatty()

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` pieces are finished."""
        gone = time.monotonic() - self._start
        left = clock(gone / done * (total - done)) if done else "?"
        line = (
            f"    {self._label} {done * 100 // total:3d} %  {clock(gone)} gone, about {left} left"
        )
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:width]:<{width}}", end="", flush=True)
        elif gone - self._last_plain >= _PLAIN_INTERVAL or done == total:
            self._last_plain = gone
            print(line, flush=True)

    def close(self) -> None:
        """Leave the line."""
        if self._terminal:
            print(flush=True)
