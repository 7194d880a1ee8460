"""CSV (RFC 4180): every cell quoted, none a formula.

A spreadsheet takes a cell that begins with = + - @ for a formula, wherever the text came from; what
people typed must not run on an officer's machine (OWASP, "CSV injection"). Such a cell gets an
apostrophe in front, and so does one that begins with an apostrophe: to read a cell back, take away
the first apostrophe.
"""

from __future__ import annotations

from typing import Final

from audit.formats.event import Event, compact, rfc3339

_RISKY: Final = tuple("=+-@\t\r\n'\uff1d\uff0b\uff0d\uff20")

_TOLD: Final = (
    "event", "outcome", "source", "task", "model", "answered_by", "model_digest",
    "adapter_digest", "prompt_tokens", "completion_tokens", "duration_ms", "finish_reason", "begin",
)  # fmt: skip

_COLUMNS: Final = (
    "index", "id", "time", "type", "epoch", "actor", "subject", *_TOLD, "leaf_hash", "other",
    "content",
)  # fmt: skip

HEADINGS: Final = ",".join(f'"{name}"' for name in _COLUMNS) + "\r\n"


def csv_line(event: Event) -> str:
    """An event as a row, without its line end."""
    leaf = event.record.leaf
    cells = {
        "index": str(leaf.index),
        "id": event.record.event,
        "time": rfc3339(leaf.wall_ns),
        "type": event.kind.label,
        "epoch": str(leaf.epoch),
        "actor": event.actor,
        "subject": event.subject,
        **{field: _fact(event, field) for field in _TOLD},
        "leaf_hash": event.leaf_hash,
        "other": _object(event.rest(*_TOLD)),
        "content": _object(event.record.content),
    }
    return ",".join(_cell(cells[name]) for name in _COLUMNS)


def _fact(event: Event, field: str) -> str:
    value = event.facts.get(field)
    if isinstance(value, str):
        return value
    return "" if value is None else compact(value)


def _object(value: object) -> str:
    return compact(value) if value else ""


def _cell(text: str) -> str:
    guard = "'" if text.lstrip(" ").startswith(_RISKY) else ""
    return '"' + guard + text.replace('"', '""') + '"'
