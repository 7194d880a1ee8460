"""The records of a log or export that somebody asks for, opened as far as he may read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from audit.errors import LeafFormatError
from audit.grants import EpochSecrets
from audit.leaf import Leaf
from audit.opening import ClosedRecord, EpochSpan, OpenedRecord, log_name, open_epoch
from audit.rows import Records, Row
from audit.subject import RecordKeys


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records, and how far they are opened.

    Attributes:
        since: first moment, nanoseconds since 1970, or None.
        until: moment before which it ends, or None.
        kinds: labels of the kinds of records, empty for all.
        contents: whether names and contents are opened, or metadata alone.
    """

    since: int | None = None
    until: int | None = None
    kinds: frozenset[str] = frozenset()
    contents: bool = False

    def wants(self, leaf: Leaf) -> bool:
        """Whether a record is asked for."""
        return (
            (not self.kinds or leaf.kind.label in self.kinds)
            and (self.since is None or leaf.wall_ns >= self.since)
            and (self.until is None or leaf.wall_ns < self.until)
        )


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
            return not row.withheld and choice.wants(Leaf.unpack(row.leaf))
        except LeafFormatError:
            return True

    for span in spans:
        if span.number in secrets:
            opened = secrets[span.number]
            if not choice.contents:
                opened = EpochSecrets(opened.metadata, {})
            yield from open_epoch(rows, span, opened, log_name(spans[0].opening), wanted, subjects)
