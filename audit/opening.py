"""Opening records: the ratchets run again and each seal is undone.

Any officer's key opens metadata; names and contents open to one of each group together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from audit.blob import CONTENT, META, log_id, unpack_content, unseal
from audit.errors import (
    AgeFormatError,
    AuditError,
    ErasedError,
    KeyFileError,
    NoMatchingIdentityError,
    SealBrokenError,
    TwoOfficersNeededError,
)
from audit.grants import EpochSecrets, open_grants
from audit.leaf import HEADER_SIZE, NO_HASH, Leaf, LeafFlag
from audit.payloads import EpochOpen, parse_plain
from audit.ratchet import CONTENTS, METADATA, NO_SUBJECT_KEY, Ratchet
from audit.rows import Records, Row
from audit.stanza import Opener
from audit.subject import RecordKeys

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
        actor: who did it; None for the writer itself, and where contents stay shut.
        subject: whom it is about, as far as it is known.
        content: its content, or None.
        gone: why there is no content any more, if there was one; a clause.
    """

    leaf: Leaf
    meta: dict[str, Any] = field(default_factory=dict)
    actor: str | None = None
    subject: str | None = None
    content: dict[str, Any] | None = None
    gone: str = ""

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
    spans: Sequence[EpochSpan], identities: Sequence[Opener], *, contents: bool = True
) -> tuple[dict[int, EpochSecrets], dict[int, AuditError]]:
    """Put together the secrets of each epoch that these keys open.

    Args:
        spans: the epochs.
        identities: officers' keys.
        contents: whether contents must open too, or metadata suffice.

    Returns:
        Secrets by epoch, and for the other epochs why they stay shut.

    Raises:
        TwoOfficersNeededError: if no epoch opens, and some for want of the other group's key.
        NoMatchingIdentityError: if no epoch opens because no key fits.
    """
    secrets: dict[int, EpochSecrets] = {}
    shut: dict[int, AuditError] = {}
    for span in spans:
        opening = span.opening
        try:
            found = open_grants(opening.grants, identities, opening.origin, span.number)
            if contents:
                found.contents()
            secrets[span.number] = found
        except (TwoOfficersNeededError, NoMatchingIdentityError, AgeFormatError) as error:
            shut[span.number] = error
    if shut and not secrets:
        raise min(shut.values(), key=lambda error: not isinstance(error, TwoOfficersNeededError))
    return secrets, shut


def open_epoch(
    rows: Records,
    span: EpochSpan,
    secrets: EpochSecrets,
    log: bytes,
    wanted: Callable[[Row], bool],
    subjects: RecordKeys | None = None,
) -> Iterator[OpenedRecord | ClosedRecord]:
    """Open the wanted records of one epoch, in order.

    Args:
        rows: the log's database.
        span: the epoch.
        secrets: of the epoch; where the shares of both groups are there, contents open too.
        log: the log's id.
        wanted: tells whether a record is asked for.
        subjects: keys of records about subjects; needed where contents open.
    """
    keys = _Keys(secrets)
    for row in _stream(rows, span):
        keys.move_to(row.index - span.start)
        if wanted(row):
            yield _open_row(row, keys, log, subjects)
    keys.erase()


class _Keys:
    """The ratchets of an epoch, as far as they open."""

    def __init__(self, secrets: EpochSecrets) -> None:
        self.metadata = Ratchet(bytearray(secrets.metadata), METADATA)
        self.contents = Ratchet(secrets.contents(), CONTENTS) if secrets.opens_contents else None

    def move_to(self, place: int) -> None:
        """Run on to a record by its sequence number."""
        for ratchet in (self.metadata, self.contents):
            while ratchet is not None and ratchet.position < place:
                ratchet.advance()

    def erase(self) -> None:
        """Overwrite what is left."""
        self.metadata.erase()
        if self.contents is not None:
            self.contents.erase()


def log_name(first: EpochOpen) -> bytes:
    """The log's id, from the opening of its first epoch."""
    return log_id(first.origin, first.key)


def _stream(rows: Records, span: EpochSpan) -> Iterator[Row]:
    for start in range(span.start, span.end, _CHUNK):
        yield from rows.rows(start, min(start + _CHUNK, span.end))


def _open_row(
    row: Row, keys: _Keys, log: bytes, subjects: RecordKeys | None
) -> OpenedRecord | ClosedRecord:
    try:
        leaf = Leaf.unpack(row.leaf)
        if leaf.flags & LeafFlag.PLAIN_META:
            return OpenedRecord(leaf, parse_plain(row.meta or b""))
        if row.meta is None:
            return OpenedRecord(leaf)
        header = row.leaf[:HEADER_SIZE]
        meta = _json(unseal(keys.metadata.key(), row.meta, log, header, META))
        if keys.contents is None or row.withheld or leaf.content_hash == NO_HASH:
            return OpenedRecord(leaf, meta)
        if row.content is None:
            return OpenedRecord(leaf, meta, gone="it was pruned at the end of its term")
        try:
            key = keys.contents.key(_subject_key(row, leaf, subjects))
        except ErasedError as error:
            return OpenedRecord(leaf, meta, gone=str(error))
        inner = _json(unpack_content(unseal(key, row.content, log, header, CONTENT)))
        return OpenedRecord(
            leaf, meta, inner.get("actor"), inner.get("subject"), inner.get("content")
        )
    except AuditError as error:
        return ClosedRecord(row.index, str(error))


def _subject_key(row: Row, leaf: Leaf, subjects: RecordKeys | None) -> bytes:
    if not leaf.flags & LeafFlag.SUBJECT_BOUND:
        return NO_SUBJECT_KEY
    if subjects is None:
        raise KeyFileError("it is about a subject, and no keys of subjects are here")
    return subjects.record_key(row.index, row.content or b"")


def _json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SealBrokenError("what was sealed is not JSON") from error
    if not isinstance(value, dict):
        raise SealBrokenError("what was sealed is not a JSON object")
    return value
