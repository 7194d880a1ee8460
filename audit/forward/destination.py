"""The one log host that lines go to, over TCP, TLS or UDP.

The address is a number: nothing is looked up in a name service.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from audit.forward.errors import DestinationError, HostAwayError

_SECONDS: Final = 5.0  # to connect, to take a batch
_LOOK: Final = 0.01  # seconds between two looks at what the host's kernel has acknowledged
_WAYS: Final = ("tcp", "tls", "udp")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where lines go.

    Attributes:
        way: `tcp` and `tls` (RFC 6587 and RFC 5425, octet counting) or `udp` (RFC 5426).
        host: IP address.
        port: its port.
    """

    way: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Read `tcp://10.0.0.5:514`, `tls://10.0.0.5:6514` or `udp://10.0.0.5:514`.

        Raises:
            DestinationError: if it is nothing of that kind.
        """
        try:
            parts = urlsplit(text)
            host, port = str(ip_address(parts.hostname or "")), parts.port
        except ValueError as error:
            raise DestinationError(_WRONG.format(text)) from error
        bare = not (parts.path or parts.query or parts.fragment or parts.username)
        if parts.scheme not in _WAYS or not port or not bare:
            raise DestinationError(_WRONG.format(text))
        return cls(parts.scheme, host, port)

    def __str__(self) -> str:
        """As it is written in the settings."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.way}://{host}:{self.port}"


_WRONG: Final = (
    "{!r} is no address of a log host. Give tcp://ADDRESS:PORT, tls://ADDRESS:PORT or "
    "udp://ADDRESS:PORT, ADDRESS being an IP address: names are not looked up."
)


class Wire:
    """An open way to the log host."""

    def __init__(self, to: Destination, ca: Path | None, name: str) -> None:
        """Connect.

        Args:
            to: where.
            ca: certificates of the authorities that may vouch for the host; the system's if None.
            name: name in the host's certificate; its address if empty.

        Raises:
            HostAwayError: if the host does not answer or is not who it should be.
        """
        self._to = to
        try:
            self._socket = _connected(to, ca, name)
        except (OSError, ssl.SSLError) as error:
            raise HostAwayError(f"{to} can not be reached: {error}.") from error

    def send(self, lines: Sequence[bytes]) -> None:
        """Send lines; returns when the host's kernel has them, as far as the way tells.

        Raises:
            HostAwayError: if it does not take them in time, or has closed.
        """
        try:
            if self._to.way == "udp":
                for line in lines:
                    self._socket.send(line)
                return
            self._socket.sendall(b"".join(b"%d %s" % (len(line), line) for line in lines))
            self._wait_for_acknowledgement()
        except (OSError, ssl.SSLError) as error:
            raise HostAwayError(f"{self._to} takes no lines: {error}.") from error

    def check(self, seconds: float) -> None:
        """Wait a while for nothing to come: a log host says nothing, unless it closes.

        Raises:
            HostAwayError: if it has closed.
        """
        self._socket.settimeout(seconds)
        try:
            with suppress(TimeoutError, ssl.SSLWantReadError):
                if not self._socket.recv(4096) and self._to.way != "udp":
                    raise HostAwayError(f"{self._to} has closed the connection.")
        except (OSError, ssl.SSLError) as error:
            raise HostAwayError(f"{self._to} has closed the connection: {error}.") from error
        finally:
            self._socket.settimeout(_SECONDS)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _wait_for_acknowledgement(self) -> None:
        """TCP tells by no event when the peer's kernel has taken all; it is asked (tcp(7))."""
        deadline = time.monotonic() + _SECONDS
        while _unacknowledged(self._socket):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing was taken for {_SECONDS:.0f} s")
            time.sleep(_LOOK)


def _connected(to: Destination, ca: Path | None, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in to.host else socket.AF_INET
    kind = socket.SOCK_DGRAM if to.way == "udp" else socket.SOCK_STREAM
    plain = socket.socket(family, kind)
    try:
        plain.settimeout(_SECONDS)
        plain.connect((to.host, to.port))
        if to.way != "tls":
            return plain
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context.wrap_socket(plain, server_hostname=name or to.host)
    except BaseException:
        plain.close()
        raise


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that were sent and are not acknowledged (SIOCOUTQ, the same number as TIOCOUTQ)."""
    raw = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    return int(struct.unpack("i", raw)[0])
