"""Where a request came from."""

from __future__ import annotations

from flask import request


def address() -> str:
    """The client's address, as the proxy in front gives it or as the socket has it."""
    return request.remote_addr or "unknown"
