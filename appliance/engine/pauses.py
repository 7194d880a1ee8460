"""Aliases whose requests wait while their model is stopped and the next one is loaded."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, ExitStack

from appliance.engine.signals import Signal

_CONFIRM_SECONDS = 60.0  # from the proof to the move: a record is written, or a person decides


class Pauses:
    """The aliases that are being moved with a gap. Belongs to one event loop.

    Args:
        signal: told when a pause ends.
    """

    def __init__(self, signal: Signal) -> None:
        """None yet."""
        self._signal = signal
        self._held: dict[str, ExitStack] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def __contains__(self, alias: object) -> bool:
        """Whether requests for an alias wait."""
        return alias in self._held

    def begin(self, alias: str) -> None:
        """Let requests for an alias wait from now on."""
        self.end(alias)
        self._held[alias] = ExitStack()

    def keep(self, alias: str, hold: AbstractContextManager[None]) -> None:
        """Wait for the move, but not for ever; `hold` keeps its model in memory meanwhile."""
        if alias in self._held:
            self._held[alias].enter_context(hold)
            timer = asyncio.get_running_loop().call_later(_CONFIRM_SECONDS, self.end, alias)
            self._timers[alias] = timer

    def end(self, alias: str) -> None:
        """Let them go on, wherever the alias points now; harmless if none wait."""
        timer = self._timers.pop(alias, None)
        if timer is not None:
            timer.cancel()
        stack = self._held.pop(alias, None)
        if stack is not None:
            stack.close()
            self._signal.tell()
