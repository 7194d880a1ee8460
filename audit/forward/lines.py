"""Records as lines for a log host: RFC 5424, one structured element, no word of any content.

A line holds what stands in clear in the log: the leaf, and of the log's own faults what they were.
Indices have no gap, so the host sees by itself what it did not get.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from audit.errors import LogFormatError
from audit.leaf import NO_TOKEN, Leaf, LeafFlag, LeafType, leaf_hash
from audit.payloads import parse_plain
from audit.rows import Row

_FACILITY: Final = 13 * 8  # log audit
_NOTICE: Final = 5
_SEVERITY: Final = {LeafType.FAULT: 3, LeafType.CLOCK_STEP: 4}  # error, warning
_ELEMENT: Final = "rec@32473"
_TOLD: Final = ("fault", "since", "until", "refused", "from", "to", "step_ms")


def record_line(row: Row, host: str) -> bytes:
    """One record as one line, without an end of line.

    Args:
        row: the record as it is stored.
        host: name of this machine.
    """
    leaf = Leaf.unpack(row.leaf)
    values = {
        "index": leaf.index,
        "epoch": leaf.epoch,
        "type": leaf.kind.label,
        "event": row.leaf[56:72].hex(),
        "actor": _token(leaf.actor),
        "subject": _token(leaf.subject),
        "flags": leaf.flags,
        "leaf": leaf_hash(row.leaf).hex(),
        **_plain(leaf, row.meta),
    }
    data = " ".join(f'{name}="{_escaped(value)}"' for name, value in values.items())
    priority = _FACILITY + _SEVERITY.get(leaf.kind, _NOTICE)
    kind = leaf.kind.label.upper()
    return (
        f"<{priority}>1 {_when(leaf)} {host} cloister-audit - {kind} [{_ELEMENT} {data}]".encode()
    )


def _plain(leaf: Leaf, meta: bytes | None) -> dict[str, Any]:
    """What the log says about itself; the reasons of faults, which name paths, stay here."""
    if meta is None or not leaf.flags & LeafFlag.PLAIN_META:
        return {}
    try:
        payload = parse_plain(meta)
    except LogFormatError:
        return {}
    return {name: payload[name] for name in _TOLD if name in payload}


def _token(token: bytes) -> str:
    return "" if token == NO_TOKEN else token.hex()


def _when(leaf: Leaf) -> str:
    seconds, nanoseconds = divmod(leaf.wall_ns, 1_000_000_000)
    when = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _escaped(value: object) -> str:
    """A parameter's value: RFC 5424, section 6.3.3."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
    return "".join(letter if letter.isprintable() else " " for letter in text)
