"""What client and writer tell each other, beside the frames that carry it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class RecordType(StrEnum):
    """What a caller may record; the writer makes the log's own records by itself."""

    PROMPT = "prompt"
    ANSWER = "answer"
    ADMIN = "admin"
    AUTH = "auth"
    ACCESS = "access"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of one durable record, as the writer gave it.

    Attributes:
        event: the record's event id, a UUID.
        index: the record's place in the log, from 0.
        leaf: SHA-256 of the leaf (RFC 6962, with the 0x00 prefix), base64.
        size: records in the log at the checkpoint.
        root: Merkle root at that size, base64.
        checkpoint: the signed note over origin, size and root.
    """

    event: str
    index: int
    leaf: str
    size: int
    root: str
    checkpoint: str

    def to_json(self) -> dict[str, Any]:
        """Its fields by name."""
        return {
            "event": self.event,
            "index": self.index,
            "leaf": self.leaf,
            "size": self.size,
            "root": self.root,
            "checkpoint": self.checkpoint,
        }


@dataclass(frozen=True, slots=True)
class LogStatus:
    """How the log stands.

    Attributes:
        health: `ok`, `no_room` (takes all but prompts), `not_durable` (resumes by itself) or
            `read_only` (needs an operator).
        reason: why it is not `ok`, with the remedy; empty if it is.
        origin: name of this log.
        vkey: verifier key of the first epoch (signed-note form), the root of trust.
        size: records in the log.
        root: Merkle root at that size, base64; empty for a log that never opened.
        epoch: number of the running epoch, or None while none runs.
        checkpoint: the last signed checkpoint.
        witnessed: records that an outside witness has seen, as far as the log was told.
        witnessed_at: when that was, seconds since 1970, or None.
        started: when the writer started, seconds since 1970.
        last_commit: when it last made records durable, seconds since 1970, or None.
        used: share of its fullest disk or of its quota that is in use, 0 to 1.
        warning: what will stop it soon, with the remedy; empty if nothing will.
    """

    health: str
    reason: str
    origin: str
    vkey: str
    size: int
    root: str
    epoch: int | None
    checkpoint: str
    witnessed: int
    witnessed_at: int | None
    started: float
    last_commit: float | None
    used: float
    warning: str


def failure(code: str, message: str) -> dict[str, Any]:
    """The reply to a request that was not done.

    Args:
        code: `bad_request`, `refused`, `no_room`, `not_durable` or `read_only`.
        message: what was wrong, with the remedy.
    """
    return {"ok": False, "error": {"code": code, "message": message}}
