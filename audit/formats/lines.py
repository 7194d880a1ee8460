"""Lines for log hosts, CEF and RFC 5424: metadata only, never a word of a prompt or an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final

from audit.formats.event import FORMAT_VERSION, PRODUCT, VENDOR, Event, rfc3339
from audit.leaf import LeafType

_FACILITY: Final = 13  # log audit
_NOTICE, _WARNING = 5, 4  # severities of RFC 5424
_LOW, _RAISED, _HIGH = 3, 5, 7  # of CEF, 0 to 10
_ELEMENT: Final = "cloister@32473"  # 32473 is reserved for examples (RFC 5612)
_LONGEST_HOST: Final = 255  # characters
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_TITLES: Final = {
    LeafType.PROMPT: "A model was asked",
    LeafType.ANSWER: "A model answered",
    LeafType.ADMIN: "Something was changed",
    LeafType.AUTH: "Somebody signed in or out",
    LeafType.ACCESS: "The log was looked at",
    LeafType.FAULT: "A fault",
}

_FACTS: Final = (
    "event", "outcome", "source", "task", "model", "answered_by", "model_digest",
    "adapter_digest", "prompt_tokens", "completion_tokens", "duration_ms", "finish_reason", "begin",
)  # fmt: skip


def cef_line(event: Event) -> str:
    """An event as a line of CEF, without its line end (ArcSight Common Event Format, version 0)."""
    head = (
        "CEF:0", VENDOR, PRODUCT, FORMAT_VERSION, f"audit.{event.kind.label}",
        _TITLES.get(event.kind, "A record of the log about itself"), str(_cef_severity(event)),
    )  # fmt: skip
    extension = " ".join(
        f"{key}={_cef_value(value)}" for key, value in _cef_fields(event).items() if value
    )
    return "|".join(_cef_head(part) for part in head) + "|" + extension


def _cef_fields(event: Event) -> Mapping[str, str]:
    leaf = event.record.leaf
    tokens = event.number("completion_tokens")
    labelled = {
        "cs1": ("model_sha256", event.text("model_digest")),
        "cs2": ("task", event.text("task")),
        "cs3": ("model", event.text("answered_by") or event.text("model")),
        "cs4": ("event", event.text("event")),
        "cs5": ("begin", event.text("begin")),
        "cs6": ("leaf_hash", event.leaf_hash),
        "cn1": ("leaf", str(leaf.index)),
        "cn2": ("epoch", str(leaf.epoch)),
        "cn3": ("completion_tokens", "" if tokens is None else str(tokens)),
        "c6a2": ("Source IPv6 Address", _address(event, 6)),
    }
    fields = {
        "externalId": event.record.event,
        "rt": str(event.milliseconds),
        "deviceExternalId": event.origin,
        "cat": event.kind.label,
        "suser": event.actor,
        "duser": event.subject,
        "src": _address(event, 4),
        "app": event.text("source"),
        "outcome": "failure" if event.failed else "success",
        "reason": event.outcome,
    }
    for key, (label, value) in labelled.items():
        if value:
            fields |= {f"{key}Label": label, key: value}
    return fields


def syslog_line(event: Event) -> str:
    """An event as a line of RFC 5424 with one structured element, without its line end."""
    priority = _FACILITY * 8 + (_WARNING if event.failed else _NOTICE)
    leaf = event.record.leaf
    host = re.sub(r"[^!-~]", "-", event.origin.partition("/")[0])[:_LONGEST_HOST] or "-"
    fields = {
        "origin": event.origin,
        "leaf": str(leaf.index),
        "id": event.record.event,
        "epoch": str(leaf.epoch),
        "actor": event.actor,
        "subject": event.subject,
        **{field: _text(event, field) for field in _FACTS},
        "address": _address(event, 4) or _address(event, 6),
        "leaf_hash": event.leaf_hash,
    }
    data = " ".join(f'{key}="{_parameter(value)}"' for key, value in fields.items() if value)
    name = event.kind.label.upper()
    return (
        f"<{priority}>1 {rfc3339(leaf.wall_ns)} {host} cloister-audit - {name} [{_ELEMENT} {data}]"
    )


def _text(event: Event, field: str) -> str:
    number = event.number(field)
    return event.text(field) if number is None else str(number)


def _address(event: Event, version: int) -> str:
    """The address that a request came from, if it is one of this version of IP."""
    try:
        found = ip_address(event.text("address"))
    except ValueError:
        return ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found) if found.version == version else ""


def _cef_severity(event: Event) -> int:
    if event.kind is LeafType.FAULT:
        return _HIGH
    return _RAISED if event.failed else _LOW


def _cef_head(text: str) -> str:
    return _CONTROL.sub(" ", text).replace("\\", "\\\\").replace("|", "\\|")


def _cef_value(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("=", "\\=")
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r")
    return _CONTROL.sub(" ", escaped)


def _parameter(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
    return _CONTROL.sub(" ", escaped)
