"""The way into the log: a thread-safe client of the writer's socket.

A record that the writer did not acknowledge counts as not written: the caller then does not do what
the record was about. Each record carries an event id that the writer takes only once, so the one
retry after a broken connection can not append twice.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from audit.errors import FrameError, LogUnavailableError, RecordRefusedError
from audit.frames import HEADER, body_length, decode_body, encode_frame
from audit.protocol import LogStatus, Receipt, RecordType
from audit.uuid7 import uuid7

__all__ = [
    "AuditClient",
    "LogStatus",
    "LogUnavailableError",
    "Receipt",
    "RecordRefusedError",
    "RecordType",
]

_PIECE: Final = 64 * 1024  # bytes read at once
_MAX_IDLE: Final = 32  # connections kept open between requests
_UNAVAILABLE: Final = frozenset({"no_room", "not_durable", "read_only"})


class AuditClient:
    """Client of one writer; any number of threads may share it, and a fork may inherit it."""

    def __init__(self, socket_path: Path, timeout: float = 2.0) -> None:
        """Prepare; the first call connects.

        Args:
            socket_path: the writer's AF_UNIX socket.
            timeout: seconds that one call may take in all, retry included.
        """
        self._path = socket_path
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: deque[socket.socket] = deque()
        self._owner = os.getpid()

    def append(
        self,
        record_type: RecordType,
        *,
        actor: str,
        meta: Mapping[str, Any],
        content: Mapping[str, Any] | None = None,
        subject: str | None = None,
        event: UUID | str | None = None,
        retention: str | None = None,
    ) -> Receipt:
        """Record something and return once it is durable.

        Args:
            record_type: the kind of record.
            actor: who did it, a plain identifier of at most 256 characters.
            meta: facts for the officers (JSON object, at most 64 KiB); sealed.
            content: prompts, answers (JSON object, at most 16 MiB); sealed under a key of its own.
            subject: whom or which case it is about, a plain identifier.
            event: the record's id if the caller has made one, else a new UUIDv7.
            retention: how long its content is kept: `short`, `standard`, `long` or `permanent`;
                None for `standard` of prompts and answers, and `long` of all else.

        Raises:
            LogUnavailableError: if it is not known to be durable; do not go on.
            RecordRefusedError: if the writer will not take this record.
        """
        message = {
            "op": "append",
            "type": RecordType(record_type).value,
            "actor": actor,
            "subject": subject,
            "meta": dict(meta),
            "content": None if content is None else dict(content),
            "event": str(event if event is not None else uuid7()),
            "retention": retention,
        }
        return _receipt_of(self._call(message))

    def status(self) -> LogStatus:
        """Say how the log stands; also while it refuses to append.

        Raises:
            LogUnavailableError: if the writer does not answer.
        """
        return _status_of(self._call({"op": "status"}))

    def proof(self, index: int) -> str:
        """Return a `c2sp.org/tlog-proof@v1` text for a record and the current checkpoint.

        Args:
            index: the record's place in the log, from 0.

        Raises:
            LogUnavailableError: if the writer does not answer.
            RecordRefusedError: if the log has no such record.
        """
        return str(self._call({"op": "proof", "index": index}).get("proof", ""))

    def witness(self, note: str) -> LogStatus:
        """Bring a witness's word to the log.

        Args:
            note: the checkpoint that he signed.

        Raises:
            LogUnavailableError: if the log takes none, or was rolled back by what he saw.
            RecordRefusedError: if it is no word of a known witness about this log.
        """
        return _status_of(self._call({"op": "witness", "note": note}))

    def subject_keys(self, indexes: Sequence[int]) -> list[str]:
        """What there is of the keys that records about subjects need beside the officers' ones.

        Args:
            indexes: places of at most 1,000 records.

        Returns:
            For each the key in hexadecimal, `erased <index of the erasure's record>`, or nothing
            where there is none.

        Raises:
            LogUnavailableError: if the writer does not answer, or the log is not open.
        """
        found = self._call({"op": "subject_keys", "indexes": list(indexes)}).get("keys")
        if not isinstance(found, list) or len(found) != len(indexes):
            raise _strange_reply()
        return [str(word) for word in found]

    def decide(self, note: str, subject: str | None, salt: bytes) -> int:
        """Have carried out what two officers approved; returns the index of its record.

        Args:
            note: the statement and its signatures.
            subject: whom it is about, in clear, or None.
            salt: opens the statement's commitment to that name.

        Raises:
            LogUnavailableError: if the log takes none.
            RecordRefusedError: if it must not be carried out.
        """
        message = {"op": "decide", "note": note, "subject": subject, "salt": salt.hex()}
        return int(self._call(message).get("record", -1))

    def close(self) -> None:
        """Close the connections that wait idle."""
        with self._lock:
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.close()

    def _call(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            frame = encode_frame(message)
        except FrameError as error:
            raise RecordRefusedError(str(error)) from error
        reply = self._exchange(frame)
        if reply.get("ok") is True:
            return reply
        raise _error_of(reply)

    def _exchange(self, frame: bytes) -> dict[str, Any]:
        """Send a frame; after a broken connection once more, on a new one."""
        deadline = time.monotonic() + self._timeout
        try:
            try:
                return self._exchange_once(frame, deadline, fresh=False)
            except (ConnectionError, EOFError):
                self.close()
                return self._exchange_once(frame, deadline, fresh=True)
        except TimeoutError as error:
            raise LogUnavailableError(
                f"The audit writer did not answer within {self._timeout:g} s. "
                "Check the writer and its disk."
            ) from error
        except (OSError, EOFError, FrameError) as error:
            raise LogUnavailableError(
                f"The audit writer at {self._path} can not be reached ({error}). "
                "Check that it is running."
            ) from error

    def _exchange_once(self, frame: bytes, deadline: float, *, fresh: bool) -> dict[str, Any]:
        connection = self._connect(deadline) if fresh else self._take(deadline)
        try:
            reply = _send_and_receive(connection, frame, deadline)
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return reply

    def _take(self, deadline: float) -> socket.socket:
        with self._lock:
            if self._owner != os.getpid():
                self._idle.clear()
                self._owner = os.getpid()
            if self._idle:
                return self._idle.pop()
        return self._connect(deadline)

    def _connect(self, deadline: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_remaining(deadline))
            connection.connect(str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()


def _send_and_receive(connection: socket.socket, frame: bytes, deadline: float) -> dict[str, Any]:
    """Send a frame and read the one reply; a short one takes a single look at the socket."""
    connection.settimeout(_remaining(deadline))
    connection.sendall(frame)
    received, wanted = bytearray(), HEADER.size
    while len(received) < wanted:
        connection.settimeout(_remaining(deadline))
        part = connection.recv(_PIECE)
        if not part:
            raise EOFError("it closed the connection")
        received += part
        if wanted == HEADER.size and len(received) >= wanted:
            wanted += body_length(bytes(received[: HEADER.size]))
    return decode_body(bytes(received[HEADER.size : wanted]))


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _receipt_of(reply: dict[str, Any]) -> Receipt:
    try:
        return Receipt(**reply["receipt"])
    except (KeyError, TypeError) as error:
        raise _strange_reply() from error


def _status_of(reply: dict[str, Any]) -> LogStatus:
    try:
        return LogStatus(**reply["status"])
    except (KeyError, TypeError) as error:
        raise _strange_reply() from error


def _error_of(reply: dict[str, Any]) -> LogUnavailableError | RecordRefusedError:
    error = reply.get("error")
    if not isinstance(error, dict):
        return _strange_reply()
    code, message = str(error.get("code")), str(error.get("message"))
    if code in _UNAVAILABLE:
        return LogUnavailableError(message, code)
    return RecordRefusedError(message, code)


def _strange_reply() -> LogUnavailableError:
    return LogUnavailableError(
        "The audit writer sent a reply that this client does not know. "
        "Run web and writer from the same release."
    )
