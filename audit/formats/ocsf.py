"""OCSF 1.8: API Activity (class 6003) with the profile `ai_operation`, one object a line.

https://schema.ocsf.io/1.8.0/classes/api_activity. What OCSF has no name for stands in `unmapped`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final

from audit.formats.event import PRODUCT, VENDOR, Event, compact
from audit.leaf import LeafType

OCSF_VERSION: Final = "1.8.0"

_CATEGORY, _CLASS = 6, 6003
_INFORMATIONAL, _MEDIUM = 1, 3  # severities
_USER, _ASSISTANT = 1, 2  # roles of a message

# OCSF's activities of this class, 99 (Other) with a name of our own where it has none.
_ACTIVITIES: Final = {
    LeafType.PROMPT: (99, "Prompt"),
    LeafType.ANSWER: (99, "Answer"),
    LeafType.ADMIN: (3, "Update"),
    LeafType.AUTH: (99, "Authentication"),
    LeafType.ACCESS: (2, "Read"),
    LeafType.SHRED: (4, "Delete"),
    LeafType.PRUNE: (4, "Delete"),
    LeafType.FAULT: (99, "Fault"),
}
_TOLD: Final = (
    "event", "outcome", "model", "answered_by", "model_digest", "prompt_tokens",
    "completion_tokens", "duration_ms", "begin",
)  # fmt: skip


def ocsf_line(event: Event) -> str:
    """An event as one line of JSON."""
    activity, name = _ACTIVITIES.get(event.kind, (99, "Log keeping"))
    value = {
        "category_uid": _CATEGORY,
        "category_name": "Application Activity",
        "class_uid": _CLASS,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": name,
        "type_uid": _CLASS * 100 + activity,
        "type_name": f"API Activity: {name if activity != 99 else 'Other'}",
        "severity_id": _MEDIUM if event.kind is LeafType.FAULT else _INFORMATIONAL,
        "severity": "Medium" if event.kind is LeafType.FAULT else "Informational",
        "time": event.milliseconds,
        "status_id": 2 if event.failed else 1,
        "status": "Failure" if event.failed else "Success",
        "metadata": _metadata(event),
        "actor": _actor(event),
        "api": {"operation": event.name, "service": {"name": event.origin}},
        "src_endpoint": _source(event),
        "unmapped": _unmapped(event),
    }
    if event.outcome:
        value["status_detail"] = event.outcome
    if (duration := event.number("duration_ms")) is not None:
        value["duration"] = duration
    if event.task:
        value |= _ai(event)
    return compact(value)


def _metadata(event: Event) -> dict[str, Any]:
    return {
        "version": OCSF_VERSION,
        "profiles": ["ai_operation"],
        "product": {"name": PRODUCT, "vendor_name": VENDOR},
        "log_name": event.origin,
        "uid": event.record.event,
        "sequence": event.record.leaf.index,
        "event_code": event.kind.label,
        "correlation_uid": event.text("begin") or event.record.event,
    }


def _actor(event: Event) -> dict[str, Any]:
    if not event.actor:
        return {"app_name": "cloister-audit"}
    field = "uid" if event.record.actor is None else "name"
    return {"user": {field: event.actor}}


def _source(event: Event) -> dict[str, Any]:
    """Where it came from: an address where one is known, else the way that it came in."""
    try:
        return {"ip": str(ip_address(event.text("address")))}
    except ValueError:
        return {"svc_name": event.text("source") or event.origin}


def _ai(event: Event) -> dict[str, Any]:
    """The attributes of the profile `ai_operation`."""
    answers = event.kind is LeafType.ANSWER
    message: dict[str, Any] = {
        "ai_role_id": _ASSISTANT if answers else _USER,
        "ai_role": "Assistant" if answers else "User",
        "service": {"name": event.origin},
        "uid": event.text("begin") or event.record.event,
    }
    counts = [event.number(field) for field in ("prompt_tokens", "completion_tokens")]
    for field, count in zip(("prompt_tokens", "completion_tokens"), counts, strict=True):
        if count is not None:
            message[field] = count
    if None not in counts:
        message["total_tokens"] = sum(count or 0 for count in counts)
    model = {"ai_provider": "Internal", "name": event.text("answered_by") or event.text("model")}
    if digest := event.text("model_digest"):
        model["uid"] = digest
    return {"message_context": message, **({"ai_model": model} if model["name"] else {})}


def _unmapped(event: Event) -> dict[str, Any]:
    found = event.rest(*_TOLD) | {
        "epoch": event.record.leaf.epoch,
        "leaf_hash": event.leaf_hash,
    }
    asked = event.text("model")
    if asked != event.text("answered_by") and event.text("answered_by"):
        found["asked_for"] = asked
    if event.subject:
        found["subject"] = event.subject
    if event.record.content is not None:
        found["content"] = event.record.content
    return found
