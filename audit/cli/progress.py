"""One line on standard error that says how far a long work is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

_PATIENCE: Final = 1.0  # seconds before anything is shown
_INTERVAL: Final = 0.2  # seconds between two updates
_WIDTH: Final = 30  # characters of the bar


def show_progress(verb: str) -> Callable[[int, int], None] | None:
    """A callback that draws the line, or None if nobody watches.

    Args:
        verb: what is being done to the records, as a participle.
    """
    if not sys.stderr.isatty():
        return None
    started = shown = time.monotonic()

    def draw(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - started < _PATIENCE or (now - shown < _INTERVAL and done < total):
            return
        shown = now
        filled = _WIDTH * done // max(total, 1)
        bar = "#" * filled + "-" * (_WIDTH - filled)
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r[{bar}] {done} of {total} records {verb}{end}")
        sys.stderr.flush()

    return draw
