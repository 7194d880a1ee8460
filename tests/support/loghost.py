"""A log host on a real socket of loopback."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from contextlib import suppress
from typing import Self

RECORD = re.compile(
    r"<(?P<pri>\d+)>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ cloister-audit - (?P<id>[A-Z-]+) "
    r'\[rec@32473 index="(?P<index>\d+)" epoch="\d+" type="(?P<type>[a-z-]+)" .*leaf="[0-9a-f]{64}"'
)


class LogHost:
    """A syslog server: keeps the lines of all its connections."""

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self._context = context
        self._connections: list[socket.socket] = []
        self.port = int(self._server.getsockname()[1])
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end every connection, as a host does that is restarted."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    @property
    def indices(self) -> list[int]:
        """Of the records that it was told."""
        found = (RECORD.match(line) for line in self.lines)
        return [int(match["index"]) for match in found if match]

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._server.accept()
                self._connections.append(connection)
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()
        except OSError:
            return

    def _read(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._connections.append(connection)
            file = connection.makefile("rb")
            while digits := _until_space(file):
                self.lines.append(file.read(int(digits)).decode())
        except (OSError, ValueError):
            return


def _until_space(file: object) -> str:
    digits = b""
    while (byte := file.read(1)) not in (b" ", b""):  # type: ignore[attr-defined] # a binary file
        digits += byte
    return digits.decode()
