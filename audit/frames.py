"""Frames of the socket: a 4-byte big-endian length and that many bytes of one JSON object."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

from audit.errors import FrameError

MAX_FRAME: Final = 16 * 1024 * 1024  # bytes
HEADER: Final = struct.Struct(">I")


def encode_frame(message: dict[str, Any]) -> bytes:
    """Serialise one message.

    Raises:
        FrameError: if it is not JSON or longer than a frame may be.
    """
    try:
        payload = _ENCODER.encode(message).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise FrameError(f"The message is not JSON: {error}. Send plain JSON values.") from error
    if len(payload) > MAX_FRAME:
        raise FrameError(
            f"The message has {len(payload)} bytes, the limit is {MAX_FRAME}. Send a shorter one."
        )
    return HEADER.pack(len(payload)) + payload


def decode_body(payload: bytes) -> dict[str, Any]:
    """Read the JSON object of one frame.

    Raises:
        FrameError: if the bytes are not one JSON object.
    """
    try:
        message = _DECODER.decode(payload.decode())
    except (ValueError, RecursionError) as error:
        raise FrameError(f"The frame is not JSON: {error}. Send one JSON object.") from error
    if not isinstance(message, dict):
        raise FrameError("The frame is not a JSON object. Send one JSON object.")
    return message


def body_length(header: bytes) -> int:
    """Read the length in bytes that a frame's header announces.

    Raises:
        FrameError: if it is empty or longer than a frame may be.
    """
    length = int(HEADER.unpack(header)[0])
    if not 0 < length <= MAX_FRAME:
        raise FrameError(f"A frame of {length} bytes: it must have 1 to {MAX_FRAME} bytes.")
    return length


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
