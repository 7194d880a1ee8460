"""Connections to the engine's sockets, and what is left of them when they have ended."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from appliance.engine.asgi import bind_socket, server
from appliance.engine.peer import PeerProtocol
from tests.support.loop import run_apart


async def _answer(_request: object) -> PlainTextResponse:
    return PlainTextResponse("good day")


async def _left_behind(path: Path, *, reset: bool) -> int:
    """Connections that are still in memory after three have come, asked, and gone."""
    listener = bind_socket(path)
    running = server(Starlette(routes=[Route("/", _answer)]), 1)
    serving = asyncio.create_task(running.serve(sockets=[listener]))
    for _ in range(3):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET / HTTP/1.1\r\nHost: e\r\n\r\n")
        if not reset:
            await reader.readuntil(b"good day")
        else:
            # What was sent and is not read makes the kernel reset the connection.
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0.2)
        writer.transport.abort()
    await asyncio.sleep(0.2)
    gc.collect()
    left = sum(isinstance(each, PeerProtocol) for each in gc.get_objects())
    running.should_exit = True
    await serving
    return left


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_a_connection_that_has_ended_is_let_go_at_once(reset: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert run_apart(_left_behind(Path(folder) / "s", reset=reset)) == 0
