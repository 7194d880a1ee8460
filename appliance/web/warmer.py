"""Hands the tasks' beginnings to the engine, so that it decodes them before the first user asks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from appliance.tasks.beginnings import beginnings
from appliance.tasks.library import TaskLibrary

_AGAIN_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 10.0


class Warmer:
    """A thread that hands the beginnings over now, and again every ten seconds.

    An engine that was restarted knows nothing of them; one that has them takes them as read.

    Args:
        engine: the engine's socket.
        tasks: all tasks.
    """

    def __init__(self, engine: Path, tasks: TaskLibrary) -> None:
        """Hand over nothing yet."""
        self._engine = engine
        self._tasks = tasks
        self._thread = threading.Thread(target=self._run, name="warmer", daemon=True)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the process ending does as well."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        wanted = beginnings(self._tasks)
        with EngineClient(self._engine, _TIMEOUT_SECONDS) as client:
            wait = 0.0
            while not self._stopped.wait(wait):
                try:
                    client.want_beginnings(wanted)
                    wait = _AGAIN_SECONDS
                except EngineError:
                    wait = _RETRY_SECONDS  # the engine starts in any order with us
