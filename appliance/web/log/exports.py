"""Exports that officers make from the page: one at a time, in the background, gone on with at will.

Each has a folder with the export and a file that says how it stands. Whether one is being made is
told by a lock, which ends with the process that holds it: so a restart leaves none that looks as if
it still ran, and no worker needs to know of the others.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from audit.client import LogUnavailableError
from audit.desk import Desk
from audit.errors import ExportError, LogFormatError, RecordRefusedError
from audit.export.make import Exported

KEEP: Final = timedelta(hours=24)
"""How long a finished export can be fetched."""

_STATE: Final = "state.json"
_LOCK: Final = "making.lock"
_EVERY_SECONDS: Final = 0.5  # between two notes of the progress
_FINISHED: Final = "finished"
_STOPPED: Final = "stopped"
_MAKING: Final = "making"


class ExportRefusedError(Exception):
    """An export can not be made now; the message says why and what to do."""


@dataclass(frozen=True)
class Export:
    """How an export stands.

    Args:
        id: Id of the log's record of its reason.
        by: Name of the officer who began it.
        begun_at: When, seconds since 1970.
        since: First moment whose sealed blobs are in it, nanoseconds since 1970, or None.
        until: Moment before which they end, or None.
        state: `making`, `stopped` or `finished`.
        done: Records that are exported.
        total: Of how many.
        error: Why it stopped, empty if by a restart.
        digest: SHA-256 of its SHA256SUMS once it is finished.
        files: Files in it.
    """

    id: str
    by: str
    begun_at: float
    since: int | None
    until: int | None
    state: str = _STOPPED
    done: int = 0
    total: int = 0
    error: str = ""
    digest: str = ""
    files: int = 0


class Exports:
    """The exports in a folder of the web process."""

    def __init__(self, folder: Path, desk: Desk, spare_bytes: int) -> None:
        """Keep them in `folder`; no export begins that would leave less than `spare_bytes` free."""
        self._folder = folder
        self._desk = desk
        self._spare = spare_bytes

    def latest(self) -> list[Export]:
        """All exports, newest first; forgets old ones."""
        making = self._is_making()
        found = []
        for file in self._folder.glob(f"*/{_STATE}"):
            export = _load(file)
            if datetime.fromtimestamp(export.begun_at, UTC) + KEEP < datetime.now(UTC):
                if not making:
                    shutil.rmtree(file.parent)
                continue
            # A process that ended in the middle could not say so.
            stopped = export.state == _MAKING and not making
            found.append(replace(export, state=_STOPPED) if stopped else export)
        return sorted(found, key=lambda one: one.begun_at, reverse=True)

    def get(self, export_id: str) -> Export | None:
        """One export, or None."""
        return next((one for one in self.latest() if one.id == export_id), None)

    def folder(self, export: Export) -> Path:
        """Where its files are."""
        return self._folder / export.id / "export"

    def check_room(self) -> None:
        """Say whether there is room for one more.

        Raises:
            ExportRefusedError: There is not, or one is being made.
        """
        if self._is_making():
            raise ExportRefusedError("Another export is being made. Wait for it, then try again.")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        need, free = self._desk.size_on_disk(), shutil.disk_usage(self._folder).free
        if need + self._spare > free:
            raise ExportRefusedError(
                f"An export can take {need / 1e6:,.0f} MB and the disk has {free / 1e6:,.0f} MB "
                "free: the log itself needs the rest. Delete older exports here, or have an "
                "operator run cloister audit export onto another disk."
            )

    def make(self, export: Export, finished: Callable[[Exported], None]) -> None:
        """Make an export, or go on with it, in a thread.

        Args:
            export: What to make.
            finished: Records that it is; only then can it be fetched.
        """
        place = self._folder / export.id
        place.mkdir(mode=0o700, exist_ok=True)
        _save(place, replace(export, state=_MAKING, error=""))
        taken = threading.Event()
        work = threading.Thread(
            target=self._run, args=(export, finished, taken), daemon=True, name="export"
        )
        work.start()
        # So that the next page shows it as being made; behind another one it waits longer.
        taken.wait(1.0)

    def delete(self, export: Export) -> None:
        """Remove an export.

        Raises:
            ExportRefusedError: It is being made.
        """
        if export.state == _MAKING:
            raise ExportRefusedError("It is being made. Wait until it has ended.")
        shutil.rmtree(self._folder / export.id, ignore_errors=True)

    def _run(
        self, export: Export, finished: Callable[[Exported], None], taken: threading.Event
    ) -> None:
        place, noted = self._folder / export.id, 0.0
        now = replace(export, state=_MAKING, error="")

        def progress(done: int, total: int) -> None:
            nonlocal now, noted
            now = replace(now, done=done, total=total)
            if time.monotonic() - noted > _EVERY_SECONDS:
                noted = time.monotonic()
                _save(place, now)

        with self._lock() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            taken.set()
            try:
                made = self._desk.export(place / "export", export.since, export.until, progress)
                finished(made)
            except (ExportError, LogFormatError, LogUnavailableError, RecordRefusedError) as error:
                _save(place, replace(now, state=_STOPPED, error=str(error)))
                return
            total = made.facts.size
            done = replace(now, state=_FINISHED, done=total, total=total, files=made.files)
            _save(place, replace(done, digest=made.digest))

    def _is_making(self) -> bool:
        if not self._folder.is_dir():
            return False
        with self._lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @contextmanager
    def _lock(self) -> Iterator[int]:
        """The lock's file; closing it lets go."""
        lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            yield lock
        finally:
            os.close(lock)


def _save(place: Path, export: Export) -> None:
    fresh = place / f"{_STATE}.new"
    fresh.write_text(json.dumps(asdict(export)), encoding="utf-8")
    fresh.replace(place / _STATE)


def _load(file: Path) -> Export:
    value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return Export(**value)
