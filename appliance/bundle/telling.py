"""How long work says what it does: nothing here knows a terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Progress = Callable[[int], object]
"""Told how many units more are done."""


class Teller(Protocol):
    """Somebody who watches."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """Something begins that lasts a while."""

    def bar(self, text: str, total: int) -> AbstractContextManager[Progress]:
        """Something begins of which so many units are to be done."""
