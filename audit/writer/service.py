"""The writer's socket: who may speak, in frames, each connection on its own."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from audit.errors import FrameError, LogUnavailableError, RecordRefusedError
from audit.frames import HEADER, body_length, decode_body, encode_frame
from audit.protocol import LogStatus
from audit.writer.custody import Approved
from audit.writer.journal import Journal
from audit.writer.keeper import Keeper
from audit.writer.request import AppendRequest, parse_append

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
_PIECE: Final = 64 * 1024  # bytes read at once
_LINGER: Final = 1.0  # seconds to read on after the last reply
_SMALL: Final = 256 * 1024  # bytes; a longer frame is parsed beside the event loop

_log = logging.getLogger("audit-writer")


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What one socket bears.

    Attributes:
        connections: open at the same time.
        in_flight: bytes of frames held at the same time, over all connections.
        frame_seconds: from a frame's first byte to its last.
        reply_seconds: for a client to take its reply.
    """

    connections: int = 256
    in_flight: int = 64 * 1024 * 1024
    frame_seconds: float = 10.0
    reply_seconds: float = 5.0


class Service:
    """Answers the socket's clients."""

    def __init__(
        self,
        keeper: Keeper,
        journal: Journal,
        origin: str,
        allowed: frozenset[int],
        limits: ServiceLimits | None = None,
    ) -> None:
        """Prepare; `listen` opens the socket.

        Args:
            keeper: takes the records.
            journal: for its standing only.
            origin: name of the log.
            allowed: user ids that may speak.
            limits: what the socket bears.
        """
        self._keeper = keeper
        self._journal = journal
        self._origin = origin
        self._allowed = allowed
        self._limits = limits or ServiceLimits()
        self._started = time.time()
        self._connections: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._operations: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "append": self._append,
            "status": self._status,
            "proof": self._proof,
            "witness": self._witness,
            "decide": self._decide,
        }

    async def listen(self, path: Path) -> asyncio.Server:
        """Open the socket; a stale one of a writer that died is replaced.

        Args:
            path: where; only this user and its group can connect.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._accept, path, limit=_PIECE, backlog=512)
        os.chmod(path, 0o660)
        return server

    async def hang_up(self) -> None:
        """End every connection, once all that was acknowledged is answered."""
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        try:
            self._admit(writer)
            while (header := await _header(reader)) is not None:
                reply = await self._reply_to(header, reader)
                await self._send(writer, reply)
        except FrameError as error:
            await self._send_last(reader, writer, _failure("bad_request", str(error)))
        except RecordRefusedError as error:
            await self._send_last(reader, writer, _failure(error.code, str(error)))
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client is gone or stuck; nothing was promised to it
        finally:
            writer.close()

    def _admit(self, writer: asyncio.StreamWriter) -> None:
        """Check who connected, by the kernel's word.

        Raises:
            RecordRefusedError: if it may not speak, or too many do.
        """
        peer: socket.socket = writer.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(raw)
        if uid not in self._allowed:
            _log.warning("Refused a connection of user id %d", uid)
            raise RecordRefusedError(
                f"User id {uid} may not write to the log. Start the writer with --allow-uid {uid} "
                "if it should.",
                "refused",
            )
        if len(self._connections) > self._limits.connections:
            raise RecordRefusedError("Too many connections to the log. Close some.", "refused")

    async def _reply_to(self, header: bytes, reader: asyncio.StreamReader) -> dict[str, Any]:
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.frame_seconds):
                header += await reader.readexactly(HEADER.size - len(header))
                await self._read_body(reader, body_length(header), body)
            return await self._answer(bytes(body))
        finally:
            self._in_flight -= len(body)

    async def _read_body(self, reader: asyncio.StreamReader, length: int, body: bytearray) -> None:
        """Read a frame's body; only what has arrived takes memory."""
        while len(body) < length:
            piece = await reader.read(min(_PIECE, length - len(body)))
            if not piece:
                raise asyncio.IncompleteReadError(bytes(body), length)
            body += piece
            self._in_flight += len(piece)
            if self._in_flight > self._limits.in_flight:
                raise RecordRefusedError("Too much on its way into the log. Try again.", "refused")

    async def _answer(self, body: bytes) -> dict[str, Any]:
        try:
            message = decode_body(body)
            operation = self._operations.get(str(message.get("op")))
            if operation is None:
                known = ", ".join(self._operations)
                return _failure("bad_request", f"'op' must be one of {known}.")
            return {"ok": True, **await operation(message)}
        except FrameError as error:
            return _failure("bad_request", str(error))
        except (RecordRefusedError, LogUnavailableError) as error:
            return _failure(error.code, str(error))

    async def _append(self, message: dict[str, Any]) -> dict[str, Any]:
        receipt = await self._keeper.append(await _parsed(message))
        return {"receipt": asdict(receipt)}

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        standing = self._journal.standing
        status = LogStatus(
            health=self._keeper.health,
            reason=self._keeper.reason,
            origin=self._origin,
            vkey=standing.vkey,
            size=standing.size,
            root=base64.b64encode(standing.root).decode(),
            epoch=standing.epoch,
            checkpoint=standing.checkpoint,
            witnessed=standing.witnessed,
            witnessed_at=standing.witnessed_at,
            started=self._started,
            last_commit=self._keeper.last_commit,
        )
        return {"status": asdict(status)}

    async def _proof(self, message: dict[str, Any]) -> dict[str, Any]:
        index = message.get("index")
        if not isinstance(index, int) or isinstance(index, bool):
            raise RecordRefusedError("'index' must be a whole number.")
        return {"proof": await self._keeper.proof(index)}

    async def _witness(self, message: dict[str, Any]) -> dict[str, Any]:
        note = message.get("note")
        if not isinstance(note, str):
            raise RecordRefusedError("'note' must be a cosigned checkpoint.")
        await self._keeper.witness(note)
        return await self._status(message)

    async def _decide(self, message: dict[str, Any]) -> dict[str, Any]:
        note, subject = message.get("note"), message.get("subject")
        try:
            if not isinstance(note, str) or not isinstance(subject, str | None):
                raise ValueError(note)
            approved = Approved(note, subject, bytes.fromhex(str(message.get("salt", ""))))
        except ValueError as error:
            raise RecordRefusedError(
                "'note' must be a signed statement, 'subject' text or null, 'salt' hexadecimal."
            ) from error
        return {"record": await self._keeper.decide(approved)}

    async def _send(self, writer: asyncio.StreamWriter, reply: dict[str, Any]) -> None:
        writer.write(encode_frame(reply))
        async with asyncio.timeout(self._limits.reply_seconds):
            await writer.drain()

    async def _send_last(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: dict[str, Any]
    ) -> None:
        """Say why the connection ends; what is still under way is read, else the word is lost."""
        with suppress(ConnectionError, TimeoutError):
            await self._send(writer, reply)
            writer.write_eof()
            async with asyncio.timeout(_LINGER):
                while await reader.read(_PIECE):
                    pass


async def _header(reader: asyncio.StreamReader) -> bytes | None:
    """The first bytes of the next frame, or None once the client has closed."""
    return await reader.read(HEADER.size) or None


async def _parsed(message: dict[str, Any]) -> AppendRequest:
    content = message.get("content")
    if isinstance(content, dict) and _is_large(content):
        return await asyncio.to_thread(parse_append, message)
    return parse_append(message)


def _is_large(content: dict[str, Any]) -> bool:
    return sum(len(value) for value in content.values() if isinstance(value, str)) > _SMALL


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": message}}
