"""The whole appliance for a test: audit writer, engine and web process on a state tree of its own.

    stack = Stack.start(tmp_path)
    client = stack.openai(stack.create_key("billing"))
    stack.kill("writer"); stack.restart("writer")
    stack.stop()

The processes are those that `cloister run` starts, under the same names: `writer`, `engine`, `web`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil
from sqlalchemy import select, update

from appliance.database import Database, open_database, upgrade
from appliance.database.tables import AccountRow, SessionRow
from appliance.engine.client import EngineClient
from appliance.host.child import Program
from appliance.host.first_run import make_demo_officers, make_tree
from appliance.host.programs import programs
from appliance.identity import Accounts, ApiKeys
from appliance.settings import Settings
from audit.client import AuditClient
from tests.support.wait import wait_until

Part = Literal["writer", "engine", "web"]
PARTS: tuple[Part, ...] = ("writer", "engine", "web")
REPOSITORY = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 15
# The machine's own disk may be as full as it likes.
_USUAL = {"engine_threads": 1, "audit_warn_percent": 100, "audit_stop_percent": 100}


@dataclass(frozen=True)
class Credentials:
    """A name and its password."""

    name: str
    password: str


@dataclass
class Stack:
    """A running appliance. `admin` still has its one-time password unless a test changed it."""

    settings: Settings
    admin: Credentials
    database: Database
    log: AuditClient
    accounts: Accounts
    keys: ApiKeys
    engine: EngineClient
    _programs: dict[Part, Program]
    _processes: dict[Part, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def start(cls, folder: Path, parts: tuple[Part, ...] = PARTS, **changes: Any) -> Stack:  # noqa: ANN401 - settings
        """Start the parts on a state tree in `folder`; `changes` are settings."""
        state = folder / "state"
        settings = Settings(state=state, port=_free_port(), **(_USUAL | changes))
        make_tree(settings)
        make_demo_officers(settings.root / "officers", settings.officers)
        _install_model(settings)
        database = open_database(settings.database_url)
        upgrade(database)
        log = AuditClient(settings.audit_socket, timeout=10)
        stack = cls(
            settings=settings,
            admin=Credentials("admin", ""),
            database=database,
            log=log,
            accounts=Accounts(database, log),
            keys=ApiKeys(database, log),
            engine=EngineClient(settings.engine_socket, timeout=60),
            _programs=dict(zip(PARTS, programs(settings), strict=True)),
        )
        try:
            for part in parts:
                stack.restart(part)
            if "writer" in parts:
                first = stack.accounts.create("admin", ["admin", "operator", "user"], actor="tests")
                stack.admin = Credentials("admin", first)
        except BaseException:
            stack.stop()
            raise
        return stack

    @property
    def url(self) -> str:
        """Where the web process listens."""
        return f"http://127.0.0.1:{self.settings.port}"

    def create_user(self, name: str, *roles: str) -> Credentials:
        """An account that has chosen its password already."""
        first = self.accounts.create(name, roles or ["user"], actor="tests")
        chosen = f"correct battery {secrets.token_hex(4)}"
        account = self.accounts.authenticate(name, first, "127.0.0.1")
        self.accounts.change_password(account, first, chosen, "127.0.0.1")
        return Credentials(name, chosen)

    def leave_alone(self, who: Credentials, time: timedelta) -> None:
        """Have it be so long ago that the account's sessions were used last."""
        ids = select(AccountRow.id).where(AccountRow.name == who.name).scalar_subquery()
        seen = datetime.now(UTC) - time
        with self.database.write() as session:
            session.execute(
                update(SessionRow).where(SessionRow.account_id == ids).values(seen_at=seen)
            )

    def create_key(self, name: str | None = None, **scope: Any) -> str:  # noqa: ANN401 - see ApiKeys
        """An API key; without a name it gets one of its own."""
        return self.keys.create(name or f"key-{secrets.token_hex(4)}", actor="tests", **scope)

    @contextmanager
    def http(self, key: str | None = None, timeout: float = 60) -> Iterator[httpx.Client]:
        """An HTTP client of the web process, with a key or none."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=timeout) as client:
            yield client

    def pid(self, part: Part) -> int:
        """Process id of a part."""
        return self._processes[part].pid

    def runners(self) -> list[psutil.Process]:
        """The processes that the engine started."""
        return psutil.Process(self.pid("engine")).children(recursive=True)

    def kill(self, part: Part, number: signal.Signals = signal.SIGKILL) -> None:
        """End a part and all that it started at once, as a crash would."""
        process = self._processes.pop(part)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(_STOP_SECONDS)

    def restart(self, part: Part) -> None:
        """Start a part, ending it first if it runs; returns once it is ready."""
        self._end(part)
        program = self._programs[part]
        with (self.settings.root / f"{part}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", program.module, *program.arguments],
                cwd=REPOSITORY,
                env=_environment(self.settings),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes[part] = process

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(
                    f"{part} ended with {process.returncode}:\n{self.output(part)}"
                )
            return self._listens(part) and program.ready()

        try:
            wait_until(up, program.start_seconds, f"{part} that is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output(part)}") from None

    def stop(self) -> None:
        """End everything that this stack started."""
        for part in reversed(PARTS):
            self._end(part)
        self.engine.close()
        self.log.close()
        self.database.close()

    def output(self, part: Part) -> str:
        """The last lines that a part wrote to its standard output and error."""
        file = self.settings.root / f"{part}.log"
        return file.read_text("utf-8", "replace")[-4000:] if file.exists() else ""

    def metric(self, name: str) -> float:
        """Sum of the engine's and the web process's samples of a metric."""
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return sum(float(value) for key, _, value in lines if key.partition("{")[0] == name)

    def _listens(self, part: Part) -> bool:
        """Whether the part's socket takes connections; a killed one leaves a dead socket behind."""
        path = {"writer": self.settings.audit_socket, "engine": self.settings.engine_socket}
        if part not in path:
            return True
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path[part])) == 0

    def _end(self, part: Part) -> None:
        process = self._processes.pop(part, None)
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)
        # Whatever it had started and did not end itself.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _install_model(settings: Settings) -> None:
    source = REPOSITORY / "models"
    target = settings.models / "demo"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "demo.toml", settings.models / "demo.toml")
    shutil.copyfile(source / "demo/demo-q8_0.gguf", target / "demo-q8_0.gguf")


def _environment(settings: Settings) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("CLOISTER_")}
    values = settings.model_dump(mode="json", include=settings.model_fields_set)
    own = {
        f"CLOISTER_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }
    return {**given, **own, "CLOISTER_STATE": str(settings.root), "PYTHONUNBUFFERED": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
