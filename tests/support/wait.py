"""The one way for a test to wait: for something, for so long, and saying what it waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_STEP_SECONDS = 0.02
T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout: float, what: str) -> T:
    """The first true value of `predicate`; fails after `timeout` seconds, naming `what`."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s there is still no {what}")
        time.sleep(_STEP_SECONDS)  # a poll, bounded by the deadline
