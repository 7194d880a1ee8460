"""The process manager of `cloister run`: one thread, one selector, three children."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from appliance.host.child import Child, Program
from appliance.host.errors import StoppedError
from appliance.host.process_log import ProcessLog

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PROBE_SECONDS: Final = 0.1


class Manager:
    """Starts programs in order, starts a dead one again, stops them in reverse order.

    Args:
        environment: environment of the children.
        logs: folder of their logs.
        say: prints one line for the person at the terminal.
    """

    def __init__(
        self, environment: Mapping[str, str], logs: Path, say: Callable[[str], None]
    ) -> None:
        """Take over the stop signals of this process when entered."""
        self._environment = environment
        self._logs = logs
        self._say = say
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._stops = 0
        self._wake_read, self._wake_write = socket.socketpair()
        self._before: list[tuple[signal.Signals, signal._HANDLER]] = []
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        """Listen for the stop signals."""
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain_wakeups)
        self._wakeup_before = signal.set_wakeup_fd(
            self._wake_write.fileno(), warn_on_full_buffer=False
        )
        self._before = [(number, signal.signal(number, self._stop)) for number in _STOP_SIGNALS]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything, whatever happened."""
        self._stop_children()
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before:
            signal.signal(number, handler)
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    def start(self, program: Program) -> None:
        """Start one program and return once it is ready.

        Raises:
            HostError: it ended, or was not ready in time, or says that it never will be.
            StoppedError: a stop signal came.
        """
        file = self._logs / f"{program.name.split()[0]}.log"
        child = Child(program, self._environment, ProcessLog(file), self._selector)
        self._children.append(child)
        child.start()
        deadline = time.monotonic() + program.start_seconds
        while not program.ready():
            self._handle_events(_PROBE_SECONDS)
            if self._stops:
                raise StoppedError
            if not child.running:
                raise child.failure("ended while it was starting")
            if time.monotonic() > deadline:
                raise child.failure(f"was not ready within {program.start_seconds:.0f} seconds")

    def watch(self) -> None:
        """Keep the children alive until a stop signal comes."""
        while not self._stops:
            due = [child.restart_at for child in self._children if child.restart_at is not None]
            timeout = None if not due else max(0.0, min(due) - time.monotonic())
            before = {child for child in self._children if child.running}
            self._handle_events(timeout)
            for child in self._children:
                if child in before and not child.running:
                    self._say(
                        f"The {child.program.name} ended; starting it again. "
                        f"What it said: {child.log_file}"
                    )
                if child.restart_at is not None and child.restart_at <= time.monotonic():
                    child.start()

    @property
    def pids(self) -> Sequence[int]:
        """Process ids of the children that live."""
        return [child.pid for child in self._children if child.pid is not None]

    def _handle_events(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            key.data()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1

    def _drain_wakeups(self) -> None:
        with suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                pass

    def _stop_children(self) -> None:
        asked = self._stops
        for child in reversed(self._children):
            child.signal(signal.SIGTERM)
            deadline = time.monotonic() + child.program.stop_seconds
            # A second Ctrl-C means: now.
            while child.running and time.monotonic() < deadline and self._stops <= max(asked, 1):
                self._handle_events(_PROBE_SECONDS)
            child.kill()
            while child.running:
                self._handle_events(_PROBE_SECONDS)
            child.close()


def child_environment(state: Path) -> dict[str, str]:
    """Our environment with the state tree's absolute path, and output that is not held back."""
    return {**os.environ, "CLOISTER_STATE": str(state), "PYTHONUNBUFFERED": "1"}
