"""Work for the scheduler's thread that is no step: only that thread may touch the context."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_Result = TypeVar("_Result")


class Errand(Generic[_Result]):
    """One call, made between two steps.

    Args:
        work: the call.
    """

    def __init__(self, work: Callable[[], _Result]) -> None:
        """Nobody has made it yet."""
        self.result: Future[_Result] = Future()
        self._work = work

    def run(self) -> None:
        """Make the call, unless nobody waits for it any more."""
        if not self.result.set_running_or_notify_cancel():
            return
        try:
            self.result.set_result(self._work())
        except Exception as error:  # whoever waits is told; the thread has more to do
            self.result.set_exception(error)
