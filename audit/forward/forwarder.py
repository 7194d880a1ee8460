"""Tells a log host what is added to a log, in order, for as long as it takes.

Nothing waits for it: it reads the database as any reader does, in short looks. While the host is
away the records stay where they are, in the log, and are told when it is back.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from audit.errors import AuditError, LogFormatError
from audit.forward.destination import Destination, Wire
from audit.forward.lines import record_line
from audit.forward.position import Position, read_position, write_position
from audit.reader import open_rows
from audit.rows import LogRows
from audit.syslog import format_line

BATCH: Final = 256  # records sent at once; also how many are told again after a broken connection
_IDLE: Final = 0.5  # seconds between two looks at a log that had nothing new
_CHECKPOINT: Final = 60.0  # seconds between two checkpoints
_BACK_OFF: Final = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before each new attempt in a row

_log = logging.getLogger("audit-forward")


@dataclass(frozen=True, slots=True)
class ForwardSettings:
    """What goes where.

    Attributes:
        log: the log's folder.
        state: file that keeps the position.
        to: the log host.
        ca: certificates of authorities, for TLS.
        name: name in the host's certificate; its address if empty.
        host: name of this machine in the lines.
    """

    log: Path
    state: Path
    to: Destination
    ca: Path | None
    name: str
    host: str


class Forwarder:
    """One log, one log host."""

    def __init__(self, settings: ForwardSettings, stop: threading.Event) -> None:
        """Say what goes where.

        Args:
            settings: what and where.
            stop: ends `run` when it is set.
        """
        self._settings = settings
        self._stop = stop
        self._position = read_position(settings.state)
        self._checkpoint = ""
        self._checkpoint_at = float("-inf")
        self._told_at = float("-inf")

    def run(self) -> None:
        """Forward until `stop` is set."""
        failures = 0
        while not self._stop.is_set():
            try:
                self._connect_and_tell()
            except AuditError as error:
                self._say(str(error))
                # A connection that told something begins the count anew.
                failures = 0 if self._told_at > time.monotonic() - _CHECKPOINT else failures + 1
                self._stop.wait(_BACK_OFF[min(failures, len(_BACK_OFF) - 1)])

    def _connect_and_tell(self) -> None:
        to = self._settings.to
        wire = Wire(to, self._settings.ca, self._settings.name)
        try:
            self._go_back()
            self._say("")
            while not self._stop.is_set():
                if not self._tell(wire):
                    wire.check(_IDLE)
        finally:
            wire.close()

    def _go_back(self) -> None:
        """What the host's kernel took and its program never read went with the connection."""
        if self._told_at > float("-inf"):
            back = max(0, self._position.next - BATCH)
            self._position = replace(self._position, next=back)

    def _tell(self, wire: Wire) -> bool:
        """Send what is next; returns whether there was anything."""
        with _rows(self._settings.log) as rows:
            vkey = rows.facts().get("vkey", "")
            if vkey != self._position.vkey:
                self._position = Position(vkey)
            start = self._position.next
            records = list(rows.rows(start, start + BATCH))
            newest = rows.last_checkpoint()
        end = start + len(records)
        lines = [record_line(row, self._settings.host) for row in records]
        note = self._due(newest, end)
        if note:
            lines.append(format_line(note, datetime.now(UTC), self._settings.host).encode())
        wire.send(lines)
        if note:
            self._checkpoint, self._checkpoint_at = note, time.monotonic()
        if records:
            self._told_at = time.monotonic()
            self._keep(replace(self._position, next=end))
        return bool(records)

    def _due(self, newest: tuple[int, str] | None, upto: int) -> str:
        """The newest checkpoint once a minute: what the log host keeps makes it a witness."""
        if newest is None or newest[0] > upto or newest[1] == self._checkpoint:
            return ""
        return newest[1] if time.monotonic() - self._checkpoint_at >= _CHECKPOINT else ""

    def _say(self, reason: str) -> None:
        if reason != self._position.reason:
            _log.warning("%s", reason or f"{self._settings.to} takes lines")
        self._keep(replace(self._position, reason=reason))

    def _keep(self, position: Position) -> None:
        self._position = position
        try:
            write_position(self._settings.state, position)
        except OSError as error:
            _log.error("%s can not be written: %s", self._settings.state, error)


@contextmanager
def _rows(folder: Path) -> Iterator[LogRows]:
    try:
        with open_rows(folder) as rows:
            yield rows
    except sqlite3.Error as error:
        raise LogFormatError(f"The log in {folder} can not be read: {error}.") from error
