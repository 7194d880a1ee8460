"""`kill -9` of each process under load: clean errors, and recovery without help."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.cloister import Cloister, running
from tests.support.wait import wait_until

_CLIENTS = 4
# Where the connection itself breaks there is no HTTP answer to be clean.
_BROKEN = (httpx.RemoteProtocolError, httpx.ConnectError, httpx.ReadError, httpx.ReadTimeout)


class Load:
    """Clients that run a task again and again, and what they got."""

    def __init__(self, cloister: Cloister, key: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        self.unclean: list[str] = []
        self._stop = threading.Event()
        self._ask = {
            "url": f"{cloister.url}/v1/tasks/triage",
            "json": {"inputs": {"text": "The invoice of May is wrong."}},
            "headers": {"Authorization": f"Bearer {key}"},
            "timeout": 30,
        }
        self._threads = [threading.Thread(target=self._run) for _ in range(_CLIENTS)]

    @contextmanager
    def on(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def more_good(self, count: int) -> None:
        """Wait until so many more requests were answered well."""
        wanted = self.statuses[200] + count
        wait_until(lambda: self.statuses[200] >= wanted, 90, f"{count} more answers")

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = httpx.post(**self._ask)
            except _BROKEN:
                self.broken += 1
                self._stop.wait(0.1)
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code != 200:
                self._look_at(answer)
                self._stop.wait(0.1)

    def _look_at(self, answer: httpx.Response) -> None:
        try:
            error = answer.json()["error"]
            clean = set(error) == {"message", "type", "code", "param"}
        except (ValueError, KeyError, TypeError):
            clean = False
        if answer.status_code not in {500, 503, 504} or not clean:
            self.unclean.append(f"{answer.status_code} {answer.text[:200]}")
        if answer.status_code == 503 and "Retry-After" not in answer.headers:
            self.unclean.append("503 without Retry-After")


@pytest.mark.parametrize(
    "victim", ["appliance.engine.runner", "-m appliance.engine ", "audit.writer", "gunicorn"]
)
def test_kill_9_gives_clean_errors_and_recovers(tmp_path: Path, victim: str) -> None:
    with running(tmp_path / "var") as cloister:
        load = Load(cloister, cloister.key())
        with load.on():
            for _ in range(2):
                load.more_good(6)
                cloister.process_of(victim).kill()
            load.more_good(6)
        assert load.unclean == []
        assert wait_until(lambda: cloister.call("doctor").returncode == 0, 60, "healthy appliance")
        assert cloister.stop() == 0
    print(victim, dict(load.statuses), "broken connections:", load.broken)
