"""Pass a request on to a runner and its answer back, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import h11
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from appliance.engine.asgi import error_response, hung_up, sse
from appliance.engine.errors import RunnerDiedError
from appliance.engine.identity import ADAPTER, REQUEST_ID

_READ_BYTES = 256 * 1024
_EVENT_STREAM = b"text/event-stream"
_EVENT_END = b"\n\n"
_HOP = frozenset((b"connection", b"transfer-encoding", b"keep-alive"))
_RETRY_SECONDS = 2


class RunnerGoneError(Exception):
    """The connection to a runner ended before its answer did."""


@dataclass(frozen=True)
class Call:
    """One request to a runner."""

    socket: Path
    method: str
    path: str
    body: bytes = b""
    request_id: str | None = None
    adapter: str | None = None  # with which the runner answers

    def head(self) -> h11.Request:
        """The request line and headers."""
        headers = [("Host", "runner"), ("Connection", "close")]
        if self.body:
            headers.append(("Content-Length", str(len(self.body))))
        if self.request_id is not None:
            headers.append((REQUEST_ID, self.request_id))
        if self.adapter is not None:
            headers.append((ADAPTER, self.adapter))
        return h11.Request(method=self.method, target=self.path, headers=headers)


@dataclass(frozen=True)
class Incoming:
    """An answer whose head has arrived; `body` yields what has come since, joined."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: AsyncIterator[bytes]

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events."""
        return any(
            name == b"content-type" and value.startswith(_EVENT_STREAM)
            for name, value in self.headers
        )


@asynccontextmanager
async def exchange(call: Call) -> AsyncIterator[Incoming]:
    """Send a request and wait for the head of its answer; leaving closes the connection.

    Raises:
        RunnerGoneError: nobody answers, or the connection ends too early (also from `body`).
    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(call.socket))
    except OSError as error:
        raise RunnerGoneError from error
    connection = h11.Connection(h11.CLIENT)
    try:
        parts = [connection.send(call.head())]
        if call.body:
            parts.append(connection.send(h11.Data(data=call.body)))
        parts.append(connection.send(h11.EndOfMessage()))
        writer.write(b"".join(part for part in parts if part))
        head = await _head(connection, reader)
        headers = [(name, value) for name, value in head.headers if name not in _HOP]
        yield Incoming(head.status_code, headers, _body(connection, reader))
    finally:
        writer.close()


async def call_whole(call: Call) -> tuple[int, bytes]:
    """Status and whole body of a short exchange.

    Raises:
        RunnerGoneError: as in `exchange`.
    """
    async with exchange(call) as incoming:
        return incoming.status, b"".join([part async for part in incoming.body])


async def _head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    while True:
        event = _next(connection)
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            await _feed(connection, reader)


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    parts: list[bytes] = []
    while True:
        event = _next(connection)
        if isinstance(event, h11.Data):
            parts.append(bytes(event.data))
            continue
        if parts:
            yield b"".join(parts)
            parts = []
        if isinstance(event, h11.EndOfMessage):
            return
        await _feed(connection, reader)


def _next(connection: h11.Connection) -> object:
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise RunnerGoneError from error
    if isinstance(event, h11.ConnectionClosed):
        raise RunnerGoneError
    return event


async def _feed(connection: h11.Connection, reader: asyncio.StreamReader) -> None:
    try:
        connection.receive_data(await reader.read(_READ_BYTES))
    except OSError as error:
        raise RunnerGoneError from error


async def _whole_events(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream of events, cut only between two: a death in one must not garble what follows it."""
    rest = b""
    async for part in body:
        whole, end, rest = (rest + part).rpartition(_EVENT_END)
        if end:
            yield whole + end
    if rest:
        yield rest


class RelayReply(Response):
    """The answer of a runner, passed on byte for byte.

    A runner that dies becomes a 503 before the first byte and an error event after it. A client
    that hangs up closes the connection to the runner, which frees the sequence.
    """

    def __init__(self, call: Call, model: str) -> None:
        """Nothing is sent before the reply is called."""
        super().__init__()
        self._call = call
        self._died = RunnerDiedError(model, _RETRY_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay until the answer ends, or the client listens no longer."""
        relay = asyncio.create_task(self._relay(scope, receive, send))
        watch = asyncio.create_task(hung_up(receive))
        try:
            await asyncio.wait({relay, watch}, return_when=asyncio.FIRST_COMPLETED)
            if relay.done():
                relay.result()
        finally:
            relay.cancel()
            watch.cancel()

    async def _relay(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        try:
            async with exchange(self._call) as incoming:
                # What is no stream comes in one piece; it is kept until it is whole.
                kept = [] if incoming.is_stream else [part async for part in incoming.body]
                begun = True
                await send(
                    {
                        "type": "http.response.start",
                        "status": incoming.status,
                        "headers": incoming.headers,
                    }
                )
                if incoming.is_stream:
                    async for part in _whole_events(incoming.body):
                        await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b"".join(kept)})
        except RunnerGoneError:
            if begun:
                await send({"type": "http.response.body", "body": sse(self._died.body())})
            else:
                await error_response(self._died)(scope, receive, send)
