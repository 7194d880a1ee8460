"""What a client asks to record, checked and made ready to be sealed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import rfc8785

from audit.blob import pack_content
from audit.cards import mask_cards, may_hold_cards
from audit.errors import RecordRefusedError
from audit.index import marked_values
from audit.leaf import LeafFlag, LeafType
from audit.retention import Retention
from audit.uuid7 import uuid7

MAX_META: Final = 64 * 1024  # bytes of canonical JSON
MAX_NAME: Final = 256  # characters of an actor or subject

_EXACT: Final = 1 << 53  # whole numbers below it have one JSON form
_SORTED: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_AS_GIVEN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_FIELDS: Final = frozenset(
    {"op", "type", "actor", "subject", "meta", "content", "event", "retention"}
)
_TYPES: Final = {
    "prompt": LeafType.PROMPT,
    "answer": LeafType.ANSWER,
    "admin": LeafType.ADMIN,
    "auth": LeafType.AUTH,
    "access": LeafType.ACCESS,
    "fault": LeafType.FAULT,
}


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """One record to append.

    Attributes:
        kind: the leaf's type.
        event: the record's UUID, 16 bytes.
        actor: who did it.
        subject: whom it is about, or None.
        meta: the caller's metadata as canonical JSON.
        marked: what of the metadata can be searched for, by field.
        content: the names and the content as JSON, compressed.
        digest: over all of the above; tells a retry from another record under the same event.
        answers: event of the prompt that this record answers, or None.
        masked: whether card data in the content were masked.
        retention: how long its content is kept.
    """

    kind: LeafType
    event: bytes
    actor: str
    subject: str | None
    meta: bytes
    marked: dict[str, str]
    content: bytes
    digest: bytes
    answers: bytes | None
    masked: bool = False
    retention: Retention = Retention.STANDARD

    @property
    def flags(self) -> int:
        """What the leaf says of it beside that it has a content."""
        return self.retention | (LeafFlag.MASKED if self.masked else 0)


def parse_append(message: dict[str, Any]) -> AppendRequest:
    """Check an `append` message.

    Raises:
        RecordRefusedError: naming the field that is wrong.
    """
    if unknown := sorted(set(message) - _FIELDS):
        raise RecordRefusedError(f"Unknown field {unknown[0]!r}. Leave it out.")
    kind = _TYPES.get(str(message.get("type")))
    if kind is None:
        raise RecordRefusedError(f"'type' must be one of {', '.join(_TYPES)}.")
    actor = _name("actor", message.get("actor"))
    subject = message.get("subject")
    subject = None if subject is None else _name("subject", subject)
    meta = _canonical_meta(message.get("meta"))
    content, masked = _content_json(actor, subject, message.get("content"))
    retention = _retention(kind, message.get("retention"))
    return AppendRequest(
        kind=kind,
        event=_event("event", message.get("event")) or uuid7().bytes,
        actor=actor,
        subject=subject,
        meta=meta,
        marked=marked_values(message["meta"]),
        content=pack_content(content),
        digest=_digest(kind, retention, meta, content),
        answers=_answered(kind, message["meta"]),
        masked=masked,
        retention=retention,
    )


def canonical(value: object) -> bytes:
    """Serialise to RFC 8785 JSON.

    Raises:
        RecordRefusedError: if a number or string has no such form.
    """
    try:
        if _is_plain(value):
            return _SORTED.encode(value).encode()
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # it checks the type itself
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise RecordRefusedError(
            f"'meta' has no canonical JSON form: {error}. Use integers below 2**53 and plain text."
        ) from error


def _is_plain(value: object) -> bool:
    """Whether the standard library writes this as RFC 8785 does: no fractions, ASCII names."""
    if isinstance(value, dict):
        return all(_is_name(key) and _is_plain(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return value.isprintable()
    return value is None or (isinstance(value, int) and abs(value) < _EXACT)


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key.isascii()


def _name(field: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable():
        raise RecordRefusedError(f"'{field}' must be printable text of 1 to {MAX_NAME} characters.")
    return value


def _canonical_meta(meta: object) -> bytes:
    if not isinstance(meta, dict):
        raise RecordRefusedError("'meta' must be a JSON object.")
    text = canonical(meta)
    if len(text) > MAX_META:
        raise RecordRefusedError(
            f"'meta' has {len(text)} bytes, the limit is {MAX_META}. Put long text into 'content'."
        )
    return text


def _content_json(actor: str, subject: str | None, content: object) -> tuple[bytes, bool]:
    """What only two officers read, who it was and what was said; and whether that was masked."""
    if content is not None and not isinstance(content, dict):
        raise RecordRefusedError("'content' must be a JSON object or null.")
    text, masked = _who_and_what(actor, subject, content), False
    if content is not None and may_hold_cards(text):
        content, masked = mask_cards(content)
        text = _who_and_what(actor, subject, content)
    return text, masked


def _who_and_what(actor: str, subject: str | None, content: dict[str, Any] | None) -> bytes:
    value = {"actor": actor, "content": content, "subject": subject}
    try:
        return _AS_GIVEN.encode(value).encode()
    except UnicodeEncodeError as error:
        raise RecordRefusedError("'content' has text that is not Unicode (half a pair).") from error


def _event(field: str, value: object) -> bytes | None:
    if value is None:
        return None
    try:
        return UUID(str(value)).bytes
    except ValueError as error:
        raise RecordRefusedError(f"'{field}' must be a UUID or null.") from error


def _retention(kind: LeafType, label: object) -> Retention:
    if label is None:
        return Retention.default(kind)
    try:
        return Retention.named(str(label))
    except KeyError:
        names = ", ".join(known.label for known in Retention)
        raise RecordRefusedError(f"'retention' must be one of {names}, or null.") from None


def _answered(kind: LeafType, meta: dict[str, Any]) -> bytes | None:
    """The prompt that this record ends; a piece of an answer does not."""
    if kind is not LeafType.ANSWER:
        return None
    begin = _event("meta.begin", meta.get("begin"))
    return None if "part" in meta else begin


def _digest(kind: LeafType, retention: Retention, meta: bytes, content: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (bytes([kind, retention]), meta, content):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
