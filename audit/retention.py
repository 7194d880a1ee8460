"""How long contents are kept: a class in each leaf, days for each class, and what was pruned."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from audit.errors import LeafFormatError, LogFormatError
from audit.leaf import NO_HASH, Leaf, LeafType
from audit.payloads import parse_plain
from audit.report import Report
from audit.rows import LogRows, Records

DAY: Final = 86_400_000_000_000  # nanoseconds

_MASK: Final = 0x60  # of a leaf's flags


class Retention(IntEnum):
    """Class of a record, as two bits of its flags."""

    STANDARD = 0x00
    SHORT = 0x20
    LONG = 0x40
    PERMANENT = 0x60

    @property
    def label(self) -> str:
        """The name that people read and write."""
        return self.name.lower()

    @classmethod
    def of(cls, leaf: Leaf) -> Retention:
        """The class of a record."""
        return cls(leaf.flags & _MASK)

    @classmethod
    def named(cls, label: str) -> Retention:
        """The class of this name; raises KeyError if there is none."""
        return {kind.label: kind for kind in cls}[label]

    @classmethod
    def default(cls, kind: LeafType) -> Retention:
        """The class of a record for which none was given."""
        return cls.STANDARD if kind in (LeafType.PROMPT, LeafType.ANSWER) else cls.LONG


Days = Mapping[Retention, int]
"""Days that contents of a class are kept; a class that is not in it is kept for ever."""


def is_due(leaf: Leaf, days: Days, wall_ns: int) -> bool:
    """Whether a record's content has had its time.

    Args:
        leaf: its leaf.
        days: by class.
        wall_ns: now, nanoseconds since 1970.
    """
    kept = days.get(Retention.of(leaf))
    return bool(kept) and leaf.wall_ns + (kept or 0) * DAY <= wall_ns


@dataclass(frozen=True, slots=True)
class Pruned:
    """Plain metadata of a prune record.

    Attributes:
        days: by class, as they were then.
        ranges: records whose contents were pruned: first, and the one behind the last.
        sha256: over the content hashes of their leaves, in order.
    """

    days: Days
    ranges: Sequence[tuple[int, int]]
    sha256: str

    @property
    def count(self) -> int:
        """How many contents."""
        return sum(end - first for first, end in self.ranges)

    def to_json(self) -> dict[str, Any]:
        """The payload as JSON values."""
        return {
            "days": {kind.label: days for kind, days in self.days.items()},
            "ranges": [list(one) for one in self.ranges],
            "sha256": self.sha256,
        }

    @classmethod
    def parse(cls, blob: bytes) -> Pruned:
        """Read the metadata blob of a prune record.

        Raises:
            LogFormatError: if it is not one.
        """
        data = parse_plain(blob)
        try:
            days = {Retention.named(name): int(days) for name, days in data["days"].items()}
            ranges = [(int(first), int(end)) for first, end in data["ranges"]]
            found = cls(days, ranges, str(data["sha256"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LogFormatError("it does not say what was pruned") from error
        edges = [edge for one in ranges for edge in one]
        if not ranges or edges != sorted(edges) or any(first >= end for first, end in ranges):
            raise LogFormatError("the ranges that it says were pruned are none")
        return found


def pruned(days: Days, leaves: Sequence[Leaf]) -> Pruned:
    """What to record about the contents of these records, which are in order."""
    ranges = Ranges()
    digest = hashlib.sha256()
    for leaf in leaves:
        ranges.add(leaf.index)
        digest.update(leaf.content_hash)
    return Pruned(days, list(ranges), digest.hexdigest())


class Prunes:
    """What the prune records of a log name; they are read when it is first asked."""

    def __init__(self, rows: LogRows, size: int) -> None:
        """Prepare.

        Args:
            rows: the log's database.
            size: only prune records among so many first ones count.
        """
        self._rows = rows
        self._size = size
        self._ranges: list[tuple[int, int]] | None = None

    def __contains__(self, index: int) -> bool:
        """Whether a record's content was pruned."""
        if self._ranges is None:
            blobs = (row.meta or b"" for row in self._rows.prunes(self._size))
            self._ranges = sorted(one for blob in blobs for one in Pruned.parse(blob).ranges)
        place = bisect_right(self._ranges, (index, self._size)) - 1
        return place >= 0 and index < self._ranges[place][1]


@dataclass(slots=True)
class Ranges:
    """Records in rising order, as few ranges."""

    _ranges: list[list[int]] = field(default_factory=list)

    def add(self, index: int) -> None:
        """Take in a record that comes after all before it."""
        if self._ranges and self._ranges[-1][1] == index:
            self._ranges[-1][1] = index + 1
        else:
            self._ranges.append([index, index + 1])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """First record, and the one behind the last, of each range."""
        return ((first, end) for first, end in self._ranges)

    def without(self, others: Iterable[tuple[int, int]]) -> Iterator[int]:
        """The records that are in none of these other ranges."""
        covers = iter(sorted(others))
        cover = next(covers, None)
        for first, end in self:
            index = first
            while index < end:
                while cover is not None and cover[1] <= index:
                    cover = next(covers, None)
                if cover is not None and cover[0] <= index:
                    index = min(cover[1], end)
                else:
                    yield index
                    index += 1


def check_prunes(rows: Records, missing: Ranges, report: Report) -> None:
    """Check that every content that is missing was pruned when its time was over.

    Args:
        rows: the log's database, or an export.
        missing: records whose content is not there.
        report: of the walk; takes what is found.
    """
    covered: list[tuple[int, int]] = []
    for index, wall_ns, blob in report.prunes:
        try:
            prune = Pruned.parse(blob)
            _check_due(rows, prune, index, wall_ns)
        except (LogFormatError, LeafFormatError) as error:
            report.blame(index, str(error))
            continue
        covered += prune.ranges
        report.pruned += prune.count
    for index in missing.without(covered):
        report.blame(index, "its content is missing")
    if report.pruned:
        by = ", ".join(str(index) for index, _, _ in report.prunes[:5])
        more = len(report.prunes) - 5
        report.remarks.append(
            f"{report.pruned} contents were pruned at the end of their terms: record {by}"
            + (f" and {more} more" if more > 0 else "")
        )


def _check_due(rows: Records, prune: Pruned, index: int, wall_ns: int) -> None:
    digest = hashlib.sha256()
    for first, end in prune.ranges:
        if end > index:
            raise LogFormatError("it says that later records were pruned")
        for row in rows.rows(first, end):
            leaf = Leaf.unpack(row.leaf)
            if leaf.content_hash == NO_HASH or not is_due(leaf, prune.days, wall_ns):
                raise LogFormatError(
                    f"it says that the content of record {row.index} was pruned, whose term was "
                    "not over"
                )
            digest.update(leaf.content_hash)
    if digest.hexdigest() != prune.sha256:
        raise LogFormatError("the contents that it says were pruned are others")
