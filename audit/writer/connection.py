"""One client's connection: whole frames in, one reply for each, in the order of the frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from audit.errors import FrameError, RecordRefusedError
from audit.frames import HEADER, body_length, encode_frame
from audit.protocol import failure

_LINGER: Final = 1.0  # seconds to read on after the last reply

Reply = Callable[[dict[str, Any]], None]
"""Sends a frame's reply; to be called once, from the event loop."""


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


class Host(Protocol):
    """What a connection belongs to."""

    limits: ServiceLimits

    def admit(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Take a new connection, or raise RecordRefusedError."""

    def hold(self, count: int) -> None:
        """Account for so many more bytes under way, or raise RecordRefusedError."""

    def let_go(self, count: int) -> None:
        """So many bytes are answered or thrown away."""

    def answer(self, body: bytes, reply: Reply) -> None:
        """Answer one frame, now or later."""

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""


class Connection(asyncio.Protocol):
    """Parts the stream into frames; the next one is looked at when the last one has its reply.

    A frame that arrives whole, as nearly all do, costs no task, no timer and no lock.
    """

    def __init__(self, host: Host) -> None:
        """Wait for a client.

        Args:
            host: answers the frames.
        """
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._frame = 0  # bytes of the frame that waits for its reply
        self._deaf = False  # the client does not take what was sent
        self._ending = False
        self._at_end = False  # the client sends nothing more
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask whether this client may speak."""
        self._transport = cast("asyncio.Transport", transport)
        try:
            self._host.admit(self, self._transport)
        except RecordRefusedError as error:
            self._end(failure(error.code, str(error)))

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; only that takes memory."""
        if self._ending:
            return
        self._received += data
        try:
            self._host.hold(len(data))
        except RecordRefusedError as error:
            self._end(failure(error.code, str(error)))
            return
        self._next_frame()
        if self._received and (self._frame or self._deaf):
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends nothing more; it may still wait for a reply."""
        self._at_end = True
        return bool(self._frame) or self._ending

    def pause_writing(self) -> None:
        """The client does not take its replies: wait a while, but not for ever."""
        self._deaf = True
        self._start_timer(self._host.limits.reply_seconds)

    def resume_writing(self) -> None:
        """It has taken them."""
        self._deaf = False
        if not self._ending:
            self._stop_timer()
            self._go_on()

    def connection_lost(self, _: Exception | None) -> None:
        """Forget what was under way; nothing was promised about it."""
        self._ending = True
        self._stop_timer()
        self._host.let_go(len(self._received) + self._frame)
        self._received.clear()
        self._frame = 0
        self._host.forget(self)

    def hang_up(self) -> None:
        """Close, once the client has taken what was sent to it."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _next_frame(self) -> None:
        """Have the first frame answered, if all of it is there."""
        if self._ending or self._frame or self._deaf or not self._received:
            return
        try:
            size = self._frame_size()
        except FrameError as error:
            self._end(failure("bad_request", str(error)))
            return
        if len(self._received) < size:
            self._start_timer(self._host.limits.frame_seconds)
            self._transport.resume_reading()
            return
        self._stop_timer()
        body = bytes(memoryview(self._received)[HEADER.size : size])
        del self._received[:size]
        self._frame = size
        try:
            self._host.answer(body, self._reply)
        except BaseException:
            self._transport.abort()
            raise

    def _frame_size(self) -> int:
        """Bytes of the first frame with its header; a header that is not there yet is one."""
        if len(self._received) < HEADER.size:
            return HEADER.size
        return HEADER.size + body_length(bytes(self._received[: HEADER.size]))

    def _reply(self, message: dict[str, Any]) -> None:
        if self._ending:
            return
        self._host.let_go(self._frame)
        self._frame = 0
        self._transport.write(encode_frame(message))
        self._go_on()

    def _go_on(self) -> None:
        """Look for the next frame after whatever else is due: nobody keeps the loop to himself."""
        if self._received:
            self._loop.call_soon(self._next_frame)
        elif self._at_end and not self._frame:
            self._transport.close()
        else:
            self._transport.resume_reading()

    def _end(self, message: dict[str, Any]) -> None:
        """Say why the connection ends; what is still under way is read, else the word is lost."""
        self._ending = True
        self._host.let_go(len(self._received))
        self._received.clear()
        self._stop_timer()
        self._transport.resume_reading()
        self._transport.write(encode_frame(message))
        self._transport.write_eof()
        self._start_timer(_LINGER)

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
