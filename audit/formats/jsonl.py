"""JSON Lines: all that a record says, one object a line, in ASCII."""

from __future__ import annotations

import json

from audit.formats.event import Event
from audit.leaf import LeafFlag
from audit.opening import OpenedRecord


def as_json_line(record: OpenedRecord) -> str:
    """One record as one line of JSON, in ASCII."""
    leaf = record.leaf
    value = {
        "index": leaf.index,
        "event": record.event,
        "type": leaf.kind.label,
        "epoch": leaf.epoch,
        "wall_ns": leaf.wall_ns,
        "boot_ns": leaf.boot_ns,
        "actor_token": leaf.actor.hex(),
        "subject_token": leaf.subject.hex(),
        "actor": record.actor,
        "subject": record.subject,
        "masked": bool(leaf.flags & LeafFlag.MASKED),
        "meta": record.meta,
        "content": record.content,
        "gone": record.gone or None,
    }
    return json.dumps(value, separators=(",", ":"))


def json_line(event: Event) -> str:
    """An event as such a line."""
    return as_json_line(event.record)
