"""The grade `strict`: nobody sees a piece of an answer before its record is durable."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from typing import Final, Literal

from appliance.tasks.records import part_meta
from appliance.tasks.work import Delta, Work
from audit.client import AuditClient, RecordType

Grade = Literal["default", "strict"]

_PIECE_SECONDS: Final = 0.25  # what comes within it shares a record


def release_recorded(deltas: Iterable[Delta], log: AuditClient, work: Work) -> Generator[Delta]:
    """Hold deltas back until the log has them.

    Args:
        deltas: The answer as it comes.
        log: Takes a record of each piece.
        work: The request that is answered.

    Raises:
        LogUnavailableError, RecordRefusedError: The log did not take a piece; it stays unseen.
    """
    held: list[Delta] = []
    number, released = 0, 0.0
    for delta in deltas:
        held.append(delta)
        if time.monotonic() - released < _PIECE_SECONDS:
            continue
        number += _record(held, log, work, number + 1)
        yield from held
        held, released = [], time.monotonic()
    _record(held, log, work, number + 1)
    yield from held


def _record(held: Sequence[Delta], log: AuditClient, work: Work, number: int) -> bool:
    """Record the texts of a piece; returns whether there were any."""
    texts = [[delta.index, delta.text] for delta in held if delta.text]
    if texts:
        log.append(
            RecordType.ANSWER,
            subject=work.subject,
            retention=work.retention,
            actor=work.actor,
            meta=part_meta(work, number),
            content={"pieces": texts},
        )
    return bool(texts)
