"""One of the three processes: started, watched by file descriptors, stopped with all it started."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.host.errors import ProcessFailedError
from appliance.host.process_log import ProcessLog

_READ: Final = 65536
_BACK_OFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before each restart in a row
_GOOD_RUN: Final = 60.0  # seconds after which the count of restarts begins anew


@dataclass(frozen=True)
class Program:
    """What to start and how to tell that it is up.

    Args:
        name: what people read.
        module: Python module that is run.
        arguments: its arguments; never a secret, since any user may read them.
        ready: True once it serves; raises a HostError where it never will.
        start_seconds: how long it may take to be ready.
        stop_seconds: how long it may take to end before it is killed.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    ready: Callable[[], bool]
    start_seconds: float
    stop_seconds: float


class Child:
    """A running program and its place in the event loop."""

    def __init__(
        self,
        program: Program,
        environment: Mapping[str, str],
        log: ProcessLog,
        selector: selectors.BaseSelector,
    ) -> None:
        """Start nothing yet."""
        self.program = program
        self.restart_at: float | None = None
        self._environment = environment
        self._log = log
        self._selector = selector
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._started = 0.0
        self._failures = 0

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self._log.file

    @property
    def pid(self) -> int | None:
        """Its process id while it lives."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process; has to be called from the main thread, which the children outlive not.

        `setpriv --pdeathsig` asks the kernel to end the child when the thread that started it ends
        (prctl(2), PR_SET_PDEATHSIG), so that even `kill -9` of this process leaves nothing behind.
        A session of its own keeps the terminal's Ctrl-C away from it: we stop children in order.
        """
        self.restart_at = None
        self._log.forget()
        command = [sys.executable, "-m", self.program.module, *self.program.arguments]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, arguments of our own
            ["/usr/bin/setpriv", "--pdeathsig", "TERM", "--", *command],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._started = time.monotonic()
        assert self._process.stdout is not None  # noqa: S101 - PIPE was asked for
        os.set_blocking(self._process.stdout.fileno(), False)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._selector.register(self._process.stdout, selectors.EVENT_READ, self._read)
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._ended)

    def failure(self, what: str) -> ProcessFailedError:
        """The error for a process that did not come up, with its last words."""
        words = "\n".join(f"    {line}" for line in self._log.tail()) or "    (it said nothing)"
        return ProcessFailedError(
            f"The {self.program.name} {what}. Its last lines:\n{words}\n",
            f"Mend what they name, then start again. The whole log: {self._log.file}",
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it lives."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and whatever it started."""
        if self._process is not None:
            _kill_group(self._process.pid)

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _read(self) -> None:
        # The end of the process may have been handled in the same turn of the loop.
        if self._process is None or self._process.stdout is None:
            return
        with suppress(BlockingIOError):
            data = os.read(self._process.stdout.fileno(), _READ)
            if data:
                self._log.feed(data)
            else:
                self._selector.unregister(self._process.stdout)

    def _ended(self) -> None:
        process = self._process
        if process is None:
            return
        process.wait()
        # Workers that outlive their parent would hold its sockets.
        _kill_group(process.pid)
        self._drain(process)
        self._selector.unregister(self._pidfd)
        os.close(self._pidfd)
        self._process = None
        if time.monotonic() - self._started > _GOOD_RUN:
            self._failures = 0
        self.restart_at = time.monotonic() + _BACK_OFF[min(self._failures, len(_BACK_OFF) - 1)]
        self._failures += 1

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        with suppress(BlockingIOError):
            while data := os.read(process.stdout.fileno(), _READ):
                self._log.feed(data)
        with suppress(KeyError):
            self._selector.unregister(process.stdout)
        process.stdout.close()


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
