"""What is passed on of a runner that breaks off wherever it likes."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from appliance.engine.relay import Call, RelayReply
from tests.support.loop import run_apart

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = b'data: {"n": 1}\n\ndata: {"n": 2}\n\n'


def _chunk(raw: bytes) -> bytes:
    return f"{len(raw):x}\r\n".encode() + raw + b"\r\n"


def _relayed(*pieces: bytes) -> tuple[int, bytes]:
    """Status and body that a client gets of a runner that sends pieces, then closes."""

    done = asyncio.Event()

    async def runner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)  # so that the pieces arrive apart
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        done.set()

    async def relay(path: Path) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's
            sent.append(message)

        async def receive() -> Any:  # noqa: ANN401 - ASGI's
            await asyncio.Event().wait()

        async with await asyncio.start_unix_server(runner, path):
            await RelayReply(Call(path, "POST", "/"), "tiny")({"type": "http"}, receive, send)
            await done.wait()
        return sent

    with tempfile.TemporaryDirectory() as folder:
        sent = run_apart(asyncio.wait_for(relay(Path(folder) / "s"), 30))
    assert not sent[-1].get("more_body")
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent)


def _event(body: bytes) -> str:
    """The code of the error that a stream ends with."""
    last = body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
    return str(json.loads(last.removeprefix(b"data: "))["error"]["code"])


@pytest.mark.parametrize("size", range(1, len(EVENTS) + 8))
def test_a_stream_is_cut_only_between_two_events(size: int) -> None:
    raw = HEAD + _chunk(EVENTS)
    status, body = _relayed(raw[: len(HEAD) + size])
    assert status == 200
    assert _event(body) == "runner_died"
    said = body[: body.rindex(b"data: ")]
    assert said in {b"", EVENTS[: len(EVENTS) // 2], EVENTS}


def test_events_in_any_pieces_come_out_whole() -> None:
    raw = b"".join(_chunk(EVENTS[at : at + 3]) for at in range(0, len(EVENTS), 3))
    assert _relayed(HEAD, raw[:20], raw[20:41], raw[41:], b"0\r\n\r\n") == (200, EVENTS)


def test_a_runner_that_says_nothing_is_a_503() -> None:
    for pieces in ((), (HEAD[:30],), (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",)):
        status, body = _relayed(*pieces)
        assert status == 503
        assert json.loads(body)["error"]["code"] == "runner_died"
