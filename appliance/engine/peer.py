"""Who is at the other end of an AF_UNIX connection: the kernel knows, and can not be lied to."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from appliance.engine.errors import NotOperatorError

_UCRED = struct.Struct("3i")  # pid, uid, gid: SO_PEERCRED in unix(7)
_PEER = "peer_uid"


class PeerProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with the user id of the caller in each request's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel who has connected."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        self.app_state = {**self.app_state, _PEER: _UCRED.unpack(raw)[1]}

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection at once.

        uvicorn leaves the keep-alive timer of a connection that was reset running, which holds it,
        with all that it read, for as long as that timer would have let it idle.
        """
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()


def require_operator(request: Request) -> None:
    """Return only if the caller runs as this process's own user, or as root.

    Raises:
        NotOperatorError: it runs as somebody else; the socket may be open to more users than this.
    """
    uid = getattr(request.state, _PEER, None)
    if uid not in {0, os.geteuid()}:
        raise NotOperatorError
