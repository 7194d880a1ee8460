"""What a journal says about itself, and about a batch that it made durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from audit.writer.intake import Outcome


@dataclass(frozen=True, slots=True)
class Standing:
    """The log's head at one moment, for whoever asks."""

    size: int = 0
    root: bytes = b""
    epoch: int | None = None
    checkpoint: str = ""
    vkey: str = ""
    witnessed: int = 0
    witnessed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """A durable batch: the checkpoints for the head, and an outcome for each request."""

    notes: Sequence[str]
    outcomes: Sequence[Outcome] = field(default_factory=tuple)
