"""Opening records: with both groups' shares the ratchet runs again and each seal is undone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from audit.age import Identity
from audit.blob import CONTENT, META, log_id, unpack_content, unseal
from audit.errors import (
    AgeFormatError,
    AuditError,
    NoMatchingIdentityError,
    SealBrokenError,
    TwoOfficersNeededError,
)
from audit.grants import open_shares
from audit.leaf import HEADER_SIZE, Leaf, LeafFlag
from audit.payloads import EpochOpen, parse_plain
from audit.ratchet import Ratchet
from audit.rows import LogRows, Row

_CHUNK: Final = 256  # records read by one query


@dataclass(frozen=True, slots=True)
class EpochSpan:
    """Where an epoch stands in the log: its number, opening, first record and end."""

    number: int
    opening: EpochOpen
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """One record in the clear.

    Attributes:
        leaf: its leaf.
        meta: its metadata; empty if it has none.
        content: its content, or None.
    """

    leaf: Leaf
    meta: dict[str, Any] = field(default_factory=dict)
    content: dict[str, Any] | None = None

    @property
    def event(self) -> str:
        """The record's event id."""
        return str(UUID(bytes=self.leaf.event))


@dataclass(frozen=True, slots=True)
class ClosedRecord:
    """A record that did not open, and why."""

    index: int
    reason: str


def epoch_spans(openings: Sequence[tuple[int, int, EpochOpen]], size: int) -> list[EpochSpan]:
    """Say where each epoch begins and ends.

    Args:
        openings: (index, epoch, opening), in order.
        size: records in the log.
    """
    if not openings:
        return []
    ends = [index for index, _, _ in openings[1:]] + [size]
    return [
        EpochSpan(number, opening, index, end)
        for (index, number, opening), end in zip(openings, ends, strict=True)
    ]


def epoch_secrets(
    spans: Sequence[EpochSpan], identities: Sequence[Identity]
) -> tuple[dict[int, bytearray], dict[int, AuditError]]:
    """Put together the secret of each epoch that these keys open.

    Returns:
        Secrets by epoch, and for the other epochs why they stay shut.

    Raises:
        TwoOfficersNeededError: if no epoch opens, and some for want of the other group's key.
        NoMatchingIdentityError: if no epoch opens because no key fits.
    """
    secrets: dict[int, bytearray] = {}
    shut: dict[int, AuditError] = {}
    for span in spans:
        opening = span.opening
        try:
            secrets[span.number] = open_shares(
                opening.grants, identities, opening.origin, span.number
            )
        except (TwoOfficersNeededError, NoMatchingIdentityError, AgeFormatError) as error:
            shut[span.number] = error
    if shut and not secrets:
        raise min(shut.values(), key=lambda error: not isinstance(error, TwoOfficersNeededError))
    return secrets, shut


def open_epoch(
    rows: LogRows,
    span: EpochSpan,
    secret: bytearray,
    log: bytes,
    wanted: Callable[[int], bool],
) -> Iterator[OpenedRecord | ClosedRecord]:
    """Open the wanted records of one epoch, in order.

    Args:
        rows: the log's database.
        span: the epoch.
        secret: `R[0]` of the epoch; wiped as the walk goes on.
        log: the log's id.
        wanted: tells by its index whether a record is asked for.
    """
    ratchet = Ratchet(secret)
    for row in _stream(rows, span):
        while ratchet.position < row.index - span.start:
            ratchet.advance()
        if wanted(row.index):
            yield _open_row(row, ratchet, log)
    ratchet.erase()


def log_name(first: EpochOpen) -> bytes:
    """The log's id, from the opening of its first epoch."""
    return log_id(first.origin, first.key)


def _stream(rows: LogRows, span: EpochSpan) -> Iterator[Row]:
    for start in range(span.start, span.end, _CHUNK):
        yield from rows.rows(start, min(start + _CHUNK, span.end))


def _open_row(row: Row, ratchet: Ratchet, log: bytes) -> OpenedRecord | ClosedRecord:
    try:
        leaf = Leaf.unpack(row.leaf)
        if leaf.flags & LeafFlag.PLAIN_META:
            return OpenedRecord(leaf, parse_plain(row.meta or b""))
        if row.meta is None:
            return OpenedRecord(leaf)
        header = row.leaf[:HEADER_SIZE]
        meta = _json(unseal(ratchet.meta_key(), row.meta, log, header, META))
        content = None
        if row.content is not None:
            packed = unseal(ratchet.content_key(), row.content, log, header, CONTENT)
            content = _json(unpack_content(packed))
        return OpenedRecord(leaf, meta, content)
    except AuditError as error:
        return ClosedRecord(row.index, str(error))


def _json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SealBrokenError("what was sealed is not JSON") from error
    if not isinstance(value, dict):
        raise SealBrokenError("what was sealed is not a JSON object")
    return value
