"""What supervisor and runner share of HTTP: bodies, errors, and a private AF_UNIX socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydantic_core
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from appliance.engine.errors import BadRequestError, EngineError, SocketInUseError
from appliance.engine.options import LIMITS
from appliance.engine.peer import PeerProtocol

_BACKLOG = 512
_PROBE_SECONDS = 1.0


async def read_body(request: Request) -> bytes:
    """The whole body.

    Raises:
        BadRequestError: it is longer than the limit, which the message names.
        ClientDisconnect: the client hung up.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LIMITS.body_bytes:
            raise BadRequestError(
                None, f"The request body passes {LIMITS.body_bytes} bytes.", "body_too_large"
            )
        parts.append(part)
    return b"".join(parts)


def json_response(
    value: Any,  # noqa: ANN401 - any JSON
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A JSON answer."""
    return Response(
        json.dumps(value), status, media_type="application/json", headers=dict(headers or {})
    )


def error_response(error: EngineError, headers: Mapping[str, str] | None = None) -> Response:
    """An error in OpenAI's shape, with `Retry-After` where another try makes sense."""
    retry = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return json_response(error.body(), error.status, {**(headers or {}), **retry})


async def on_engine_error(_request: Request, error: Exception) -> Response:
    """Starlette handler for `EngineError`."""
    assert isinstance(error, EngineError)  # noqa: S101 - registered for this class alone
    return error_response(error)


async def on_http_error(_request: Request, error: Exception) -> Response:
    """Starlette handler for unknown paths and methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    named = EngineError(error.status_code, "unknown_url", f"{error.detail}: see docs/engine.md.")
    return error_response(named, error.headers)


async def on_disconnect(_request: Request, _error: Exception) -> Response:
    """Starlette handler for a client that hung up while it sent; nobody reads the answer."""
    return Response(status_code=400)


HANDLERS: dict[Any, Any] = {
    EngineError: on_engine_error,
    HTTPException: on_http_error,
    ClientDisconnect: on_disconnect,
}


def parse_json(body: bytes) -> dict[str, Any]:
    """A request body as a JSON object.

    Raises:
        BadRequestError: it is no UTF-8, no JSON, or no object.
    """
    try:
        # Its cache of short texts would keep up to 16,384 of what people wrote; keys are ours.
        value = pydantic_core.from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise BadRequestError(None, f"The body is no JSON in UTF-8: {error}", "bad_json") from error
    if not isinstance(value, dict):
        raise BadRequestError(None, "The body must be a JSON object.", "bad_json")
    return value


def sse(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """A value as one server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


async def hung_up(receive: Receive) -> None:
    """Return when the client has closed its connection; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


def bind_socket(path: Path) -> socket.socket:
    """Listen on an AF_UNIX socket that owner and group may use.

    Raises:
        SocketInUseError: another process answers there already.
    """
    if path.is_socket():
        if _answers(path):
            raise SocketInUseError(f"Another process answers on {path}; stop it first.")
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        with suppress(OSError):
            probe.connect(str(path))
            return True
    return False


def server(app: Starlette, grace_seconds: int) -> uvicorn.Server:
    """A quiet uvicorn for `app`; after SIGTERM, answers get `grace_seconds` to end."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=PeerProtocol,
            ws="none",
            loop="asyncio",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=grace_seconds,
        )
    )
