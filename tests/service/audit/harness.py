"""A real writer process with its files, and the officers' tool beside it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Self

from audit.age import Identity
from audit.cli.main import main
from audit.client import AuditClient, LogStatus
from audit.errors import LogUnavailableError
from audit.officers import Officer, Officers, save_officers
from audit.signer import signer_of
from tests.support.wait import wait_until

ORIGIN = "cloister-test/audit"


class Writer:
    """One writer and its log.

    Args:
        root: folder for everything.
        log: folder of the log, if not below `root`.
        head: the head file, if not below `root`.
    """

    def __init__(self, root: Path, log: Path | None = None, head: Path | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.log = log or root / "log"
        self.head = head or root / "head.log"
        self.socket = root / "s"
        self.officers = root / "officers.json"
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._make_officers()

    def __enter__(self) -> Self:
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()

    @property
    def database(self) -> Path:
        return self.log / "audit.db"

    @property
    def errors(self) -> str:
        """What the writer said."""
        return (self.root / "errors").read_text()

    def start(self, *options: str) -> Self:
        """Start, and wait until it answers."""
        self.process = self.spawn(*options)
        wait_until(self.answers, 20, "answer from the writer")
        return self

    def spawn(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "audit.writer", "--dir", str(self.log)]
        command += ["--head", str(self.head), "--socket", str(self.socket)]
        command += ["--officers", str(self.officers), "--origin", ORIGIN]
        # The machine's own disk may be as full as it likes; a test that fills one sets these.
        command += ["--warn-percent", "100", "--stop-percent", "100", *options]
        environment = {**os.environ, **self.environment}
        with (self.root / "errors").open("ab") as errors:
            return subprocess.Popen(
                command, stderr=errors, stdin=subprocess.DEVNULL, env=environment
            )

    def answers(self) -> bool:
        process = self.process
        assert process is not None
        assert process.poll() is None, self.errors
        with suppress(LogUnavailableError):
            self.status()
            return True
        return False

    def status(self) -> LogStatus:
        client = AuditClient(self.socket)
        try:
            return client.status()
        finally:
            client.close()

    def wait_health(self, health: str, timeout: float = 15) -> LogStatus:
        def reached() -> LogStatus | None:
            status = self.status()
            return status if status.health == health else None

        status = wait_until(reached, timeout, f"health {health}")
        assert status is not None
        return status

    def stop(self) -> int:
        """End it in order and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it by force."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(number)
        return process.wait(20)

    def _make_officers(self) -> None:
        keys = {"compliance": self.root / "a.key", "security": self.root / "b.key"}
        officers = Officers()
        for group, path in keys.items():
            if path.exists():
                return
            identity = Identity.generate()
            path.write_text(f"{identity}\n")
            member = Officer(group, identity.recipient, str(signer_of(identity)))
            officers = officers.with_member(group, member)
        save_officers(self.officers, officers)


def tool(*arguments: str | Path, status: int = 0) -> str:
    """Run `cloister-audit`, check its exit status, return its standard output."""
    result = run_tool(*arguments)
    assert result.returncode == status, (result.stdout, result.stderr)
    return result.stdout


def run_tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = [sys.executable, "-m", "audit.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def call_tool(*arguments: str | Path) -> tuple[int, str, str]:
    """Run `cloister-audit` in this process: exit status, standard output, standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
    return status, output.getvalue(), errors.getvalue()


def verify(writer: Writer, status: int = 0) -> dict[str, Any]:
    """Verify a log with its head file and return the report."""
    output = tool("verify", writer.log, "--head", writer.head, "--json", status=status)
    report: dict[str, Any] = json.loads(output)
    return report


def opened(writer: Writer, *options: str) -> list[dict[str, Any]]:
    """Open a log as its two officers."""
    keys = ["--key", writer.root / "a.key", "--key", writer.root / "b.key"]
    output = tool("open", writer.log, *keys, "--json", *options)
    return [json.loads(line) for line in output.splitlines()]
