"""The whole of Cloister as a person starts it: `cloister run` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
CLOISTER = Path(sys.executable).parent / "cloister"
READY = re.compile(
    r"^Cloister is ready: (?P<url>http://\S+)  user: (?P<user>\S+)"
    r"(  password: (?P<password>\S+))?$",
    re.MULTILINE,
)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def alive(process: psutil.Process) -> bool:
    """Whether a process lives; one that ended and waits to be reaped does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def tiny_model_tree(state: Path, name: str = "demo") -> None:
    """A state tree with a model of random weights instead of the demo model; quick to load."""
    models = state / "srv/cloister/models"
    for folder in (state, state / "srv", state / "srv/cloister", models):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = write_tiny_gguf(models / f"{name}.gguf", Shape(context=4096))
    write_manifest(models, name, digest, context=4096)


class Cloister:
    """One `cloister run` and the commands that go with its state tree."""

    def __init__(self, state: Path, port: int | None = None, wrapper: Sequence[str] = ()) -> None:
        self.state = state
        self.port = port or free_port()
        self.environment = {
            **os.environ,
            "CLOISTER_STATE": str(state),
            "CLOISTER_PORT": str(self.port),
            "CLOISTER_ENGINE_THREADS": "1",
            "CLOISTER_AUDIT_WARN_PERCENT": "100",
            "CLOISTER_AUDIT_STOP_PERCENT": "100",
        }
        self.output = ""
        self._wrapper = wrapper
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def manager(self) -> psutil.Process:
        """The process of `cloister run` itself, below a wrapper such as strace."""
        assert self._process is not None
        top = psutil.Process(self._process.pid)
        return top.children()[0] if self._wrapper else top

    def start(self) -> re.Match[str]:
        """Start and wait for the ready line."""
        self.begin()
        return self.wait_ready()

    def begin(self) -> None:
        """Start without waiting."""
        self.output = ""
        self._process = subprocess.Popen(
            [*self._wrapper, str(CLOISTER), "run"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_ready(self, timeout: float = 180) -> re.Match[str]:
        """The ready line; fails with the whole output where the process ends before."""

        def ready() -> re.Match[str] | None:
            assert self._process is not None
            found = READY.search(self.output)
            assert found or self._process.poll() is None, self.output
            return found

        return wait_until(ready, timeout, "ready line")

    def stop(self, number: signal.Signals = signal.SIGINT, timeout: float = 60) -> int:
        """Send a signal as Ctrl-C does, and wait for the end; the exit code."""
        process = self._process
        if process is None:
            return 0
        family = self.family()
        with suppress(psutil.NoSuchProcess):
            self.manager.send_signal(number)
        try:
            code = process.wait(timeout)
        finally:
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
            if self._reader is not None:
                self._reader.join()
            assert process.stdout is not None
            process.stdout.close()
            self._process = None
        return code

    def wait_end(self, timeout: float = 60) -> int:
        """Wait until the process has ended by itself; the exit code."""
        assert self._process is not None
        assert self._reader is not None
        code = self._process.wait(timeout)
        self._reader.join()
        self.stop()
        return code

    def family(self) -> list[psutil.Process]:
        """Every process of this run that lives."""
        if self._process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(self._process.pid)
            return [top, *top.children(recursive=True)]
        return []

    def process_of(self, words: str) -> psutil.Process:
        """The first process of this run whose command line has these words."""
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                if words in " ".join(one.cmdline()):
                    return one
        raise AssertionError(f"no process {words!r} runs")

    def call(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run another `cloister` command on the same state tree."""
        return subprocess.run(
            [str(CLOISTER), *arguments],
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """The JSON that a command prints."""
        done = self.call(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def key(self, name: str = "test") -> str:
        """A fresh API key."""
        done = self.call("key", "add", name)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    def _read(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with suppress(ValueError):
            for line in process.stdout:
                self.output += line


@contextmanager
def running(state: Path, *, tiny: bool = True) -> Iterator[Cloister]:
    """A started Cloister on a new state tree; `tiny` takes random weights for the demo model."""
    if tiny:
        tiny_model_tree(state)
    with Cloister(state) as cloister:
        cloister.start()
        yield cloister
