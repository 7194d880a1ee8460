"""Checkpoints as lines for a log host: RFC 5424 with one structured element.

The line holds the whole signed checkpoint, so that what a log host keeps is a witness too.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final

from audit.errors import NoteFormatError
from audit.note import Checkpoint, read_checkpoint, signature_line, split_note

PRIORITY: Final = 13 * 8 + 5  # facility 13, log audit; severity 5, notice
_ELEMENT: Final = "cp@32473"
_FIELDS: Final = ("origin", "size", "root", "kid", "sig")
_LINE: Final = re.compile(
    rf"\[{_ELEMENT} " + " ".join(rf'{field}="(?P<{field}>[^"\]]*)"' for field in _FIELDS) + r"\]"
)


def format_line(note: str, now: datetime, host: str) -> str:
    """Write a checkpoint as one line, without an end of line.

    Args:
        note: the signed checkpoint; its first signature is taken.
        now: time of the line.
        host: name of this machine.

    Raises:
        NoteFormatError: if it is not a signed checkpoint.
    """
    seen = read_checkpoint(note)
    _, lines = split_note(note)
    raw = lines[0][1]
    values = (seen.origin, seen.size, _base64(seen.root), raw[:4].hex(), _base64(raw[4:]))
    data = " ".join(f'{field}="{value}"' for field, value in zip(_FIELDS, values, strict=True))
    when = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"<{PRIORITY}>1 {when} {host} cloister-audit - CHECKPOINT [{_ELEMENT} {data}]"


def parse_line(line: str) -> str | None:
    """The signed checkpoint that a line holds, or None if it holds none.

    Raises:
        NoteFormatError: if it holds a malformed one.
    """
    match = _LINE.search(line)
    if match is None:
        return None
    try:
        root = base64.b64decode(match["root"], validate=True)
        raw = bytes.fromhex(match["kid"]) + base64.b64decode(match["sig"], validate=True)
        checkpoint = Checkpoint(match["origin"], int(match["size"]), root)
    except (ValueError, binascii.Error) as error:
        raise NoteFormatError("a checkpoint's line is malformed") from error
    note = f"{checkpoint.text()}\n{signature_line(checkpoint.origin, raw)}"
    read_checkpoint(note)
    return note


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
