"""The writer's socket: who may speak, and what is answered."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from audit.errors import AuditError, LogUnavailableError, RecordRefusedError
from audit.frames import decode_body
from audit.protocol import LogStatus, Receipt, failure
from audit.writer.connection import Connection, Reply, ServiceLimits
from audit.writer.custody import Approved
from audit.writer.journal import Journal
from audit.writer.keeper import Answer, Keeper
from audit.writer.request import AppendRequest, parse_append

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
_PARTING: Final = 1.0  # seconds for clients to take their last replies
_MOST_KEYS: Final = 1000  # of records, asked for at once
_SMALL: Final = 256 * 1024  # bytes; a longer frame is parsed beside the event loop

_log = logging.getLogger("audit-writer")


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
        self.limits = limits or ServiceLimits()
        self._keeper = keeper
        self._journal = journal
        self._origin = origin
        self._allowed = allowed
        self._started = time.time()
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._operations: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "proof": self._proof,
            "witness": self._witness,
            "decide": self._decide,
            "subject_keys": self._subject_keys,
        }

    async def listen(self, path: Path) -> asyncio.Server:
        """Open the socket; a stale one of a writer that died is replaced.

        Args:
            path: where; only this user and its group can connect.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: Connection(self), path, backlog=512)
        os.chmod(path, 0o660)
        return server

    async def hang_up(self) -> None:
        """End every connection, once all that was acknowledged is answered."""
        for connection in list(self._connections):
            connection.hang_up()
        if self._connections:
            self._empty.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PARTING):
                    await self._empty.wait()
        for connection in list(self._connections):
            connection.abort()

    def admit(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Check who connected, by the kernel's word.

        Raises:
            RecordRefusedError: if it may not speak, or too many do.
        """
        self._connections.add(connection)
        peer: socket.socket = transport.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(raw)
        if uid not in self._allowed:
            _log.warning("Refused a connection of user id %d", uid)
            raise RecordRefusedError(
                f"User id {uid} may not write to the log. Start the writer with --allow-uid {uid} "
                "if it should.",
                "refused",
            )
        if len(self._connections) > self.limits.connections:
            raise RecordRefusedError("Too many connections to the log. Close some.", "refused")

    def hold(self, count: int) -> None:
        """Account for bytes that arrived.

        Raises:
            RecordRefusedError: if too many are under way.
        """
        self._in_flight += count
        if self._in_flight > self.limits.in_flight:
            raise RecordRefusedError("Too much on its way into the log. Try again.", "refused")

    def let_go(self, count: int) -> None:
        """So many bytes are answered or thrown away."""
        self._in_flight -= count

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def answer(self, body: bytes, reply: Reply) -> None:
        """Answer one frame, now or later.

        Args:
            body: the frame without its header.
            reply: sends the answer.
        """
        try:
            if len(body) > _SMALL:
                self._later(self._large(body, reply), reply)
            else:
                self._dispatch(decode_body(body), reply)
        except AuditError as error:
            reply(_failed(error))

    def _dispatch(self, message: dict[str, Any], reply: Reply) -> None:
        name = str(message.get("op"))
        if name == "append":
            self._append(parse_append(message), reply)
        elif name in self._operations:
            self._later(self._operate(name, message, reply), reply)
        else:
            known = ", ".join(("append", *self._operations))
            reply(failure("bad_request", f"'op' must be one of {known}."))

    async def _large(self, body: bytes, reply: Reply) -> None:
        """Parse and compress beside the event loop: others' records do not wait for it."""
        message = await asyncio.to_thread(decode_body, body)
        if message.get("op") == "append":
            self._append(await asyncio.to_thread(parse_append, message), reply)
        else:
            self._dispatch(message, reply)

    def _append(self, request: AppendRequest, reply: Reply) -> None:
        self._keeper.append(request, partial(_acknowledge, reply))

    async def _operate(self, name: str, message: dict[str, Any], reply: Reply) -> None:
        reply({"ok": True, **await self._operations[name](message)})

    def _later(self, work: Coroutine[Any, Any, None], reply: Reply) -> None:
        task = asyncio.create_task(_to_its_end(work, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
            used=round(self._keeper.room.share, 4),
            warning=self._keeper.room.words,
        )
        return {"status": asdict(status)}

    async def _proof(self, message: dict[str, Any]) -> dict[str, Any]:
        index = message.get("index")
        if not isinstance(index, int) or isinstance(index, bool):
            raise RecordRefusedError("'index' must be a whole number.")
        return {"proof": await self._keeper.ask(self._journal.proof, index)}

    async def _witness(self, message: dict[str, Any]) -> dict[str, Any]:
        note = message.get("note")
        if not isinstance(note, str):
            raise RecordRefusedError("'note' must be a cosigned checkpoint.")
        await self._keeper.witness(note)
        return await self._status(message)

    async def _subject_keys(self, message: dict[str, Any]) -> dict[str, Any]:
        indexes = message.get("indexes")
        if (
            not isinstance(indexes, list)
            or len(indexes) > _MOST_KEYS
            or not all(type(index) is int and 0 <= index < 1 << 62 for index in indexes)
        ):
            raise RecordRefusedError(f"'indexes' must be at most {_MOST_KEYS} numbers of records.")
        return {"keys": await self._keeper.ask(self._journal.subject_keys, indexes)}

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


def _acknowledge(reply: Reply, answer: Answer) -> None:
    if isinstance(answer, Receipt):
        reply({"ok": True, "receipt": answer.to_json()})
    else:
        reply(_failed(answer))


async def _to_its_end(work: Awaitable[None], reply: Reply) -> None:
    try:
        await work
    except AuditError as error:
        reply(_failed(error))
    except Exception as error:  # the edge of the process: whoever waits must hear that it failed
        _log.exception("An operation failed")
        reply(failure("not_durable", f"The writer failed: {type(error).__name__}."))


def _failed(error: AuditError) -> dict[str, Any]:
    if isinstance(error, (RecordRefusedError, LogUnavailableError)):
        return failure(error.code, str(error))
    return failure("bad_request", str(error))
