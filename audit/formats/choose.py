"""The records of a log or export that somebody asks for, opened as far as he may read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from audit.errors import LeafFormatError
from audit.grants import EpochSecrets
from audit.leaf import Leaf
from audit.opening import ClosedRecord, EpochSpan, OpenedRecord, log_name, open_epoch
from audit.rows import Records, Row
from audit.subject import RecordKeys
from audit.window import Window


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records, and how far they are opened.

    Attributes:
        window: which.
        contents: whether names and contents are opened, or metadata alone.
    """

    window: Window = field(default_factory=Window)
    contents: bool = False


def chosen_records(
    rows: Records,
    spans: list[EpochSpan],
    secrets: Mapping[int, EpochSecrets],
    choice: Choice,
    progress: Callable[[int, int], None] | None = None,
    subjects: RecordKeys | None = None,
) -> Iterator[OpenedRecord | ClosedRecord]:
    """Open what is asked for, in order, one record at a time.

    Args:
        rows: the log or the export; of an export, records whose blobs were left out are passed by.
        spans: its epochs; those without secrets are passed by.
        secrets: by epoch.
        choice: what is asked for.
        progress: told how many records are looked through, and of how many.
        subjects: keys of records about subjects; needed where contents are opened.
    """

    def wanted(row: Row) -> bool:
        if progress is not None:
            progress(row.index + 1, spans[-1].end)
        try:
            return not row.withheld and choice.window.holds(Leaf.unpack(row.leaf))
        except LeafFormatError:
            return True

    for span in spans:
        if span.number in secrets:
            opened = secrets[span.number]
            if not choice.contents:
                opened = EpochSecrets(opened.metadata, {})
            yield from open_epoch(rows, span, opened, log_name(spans[0].opening), wanted, subjects)
