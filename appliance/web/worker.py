"""What all requests of one worker share."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from flask import current_app

from appliance.engine.client import EngineClient
from appliance.web.gate import Gate
from appliance.web.hangups import HangUps
from appliance.web.services import services

_KEY: Final = "cloister.worker"
_QUICK_SECONDS: Final = 2.0
_making = threading.Lock()


@dataclass(frozen=True)
class WorkerState:
    """Counters and watchers that all requests of a worker share.

    Args:
        gate: How many requests may run at once.
        quick: Client for short questions; a hanging engine must not hang who asks how it is.
        hang_ups: Notices clients that went away.
    """

    gate: Gate
    quick: EngineClient
    hang_ups: HangUps


def state() -> WorkerState:
    """The state of this worker, made at the first request so that no thread crosses a fork."""
    with _making:
        found: WorkerState | None = current_app.extensions.get(_KEY)
        if found is None:
            settings = services().settings
            quick = EngineClient(settings.engine_socket, timeout=_QUICK_SECONDS)
            found = WorkerState(Gate(settings.web_threads), quick, HangUps(quick.cancel))
            current_app.extensions[_KEY] = found
    return found
