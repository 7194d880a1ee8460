"""What one of our processes prints: into a rotated file, its last lines kept for an error."""

from __future__ import annotations

import logging
import logging.handlers
import os
from collections import deque
from pathlib import Path
from typing import Final

_FILE_BYTES: Final = 5 * 1024 * 1024
_OLD_FILES: Final = 3
_TAIL: Final = 12  # lines shown when the process can not start
_LONGEST: Final = 64 * 1024  # bytes of one line


class ProcessLog:
    """Takes the bytes of a process's output as they come."""

    def __init__(self, file: Path) -> None:
        """Append to `file`; it is made readable by its owner only."""
        self.file = file
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=_TAIL)
        os.close(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        self._handler = logging.handlers.RotatingFileHandler(
            file, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8"
        )

    def feed(self, data: bytes) -> None:
        """Write the lines that are whole; keep the rest for the next call."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._write(line.decode("utf-8", "replace"))

    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._tail)

    def forget(self) -> None:
        """Begin a new life of the process: earlier lines explain nothing any more."""
        self._tail.clear()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.feed(b"\n" if self._rest else b"")
        self._handler.close()

    def _write(self, line: str) -> None:
        self._tail.append(line)
        record = logging.LogRecord("child", logging.INFO, "", 0, line, None, None)
        self._handler.handle(record)
