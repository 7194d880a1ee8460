"""Reading the database's rows: shared by the writer and by what only reads.

Leaves stay for ever; blobs stand in a table of their own so that they can be removed at term while
every proof still holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from audit.errors import LeafFormatError, LogFormatError
from audit.index import MARKS_SIZE
from audit.leaf import Leaf, leaf_hash
from audit.merkle import STORED_LEVELS, Frontier, node_hash, subtrees

FORMAT: Final = "cloister-audit/v2"


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it is stored.

    Attributes:
        index: its place in the log.
        leaf: its leaf.
        meta: its metadata blob, or None.
        content: its content blob, or None.
        withheld: whether its sealed blobs may be missing: an export of other records.
    """

    index: int
    leaf: bytes
    meta: bytes | None
    content: bytes | None
    withheld: bool = False


class Records(Protocol):
    """What a verifier reads: a log's database, or an export of it."""

    kind: str

    def facts(self) -> dict[str, str]:
        """What the log says about itself: `format`, `origin`, `vkey`."""

    def size(self) -> int:
        """Records in the log."""

    def extent(self) -> tuple[int, tuple[int, str] | None]:
        """Size and newest checkpoint, both of the same moment."""

    def rows(self, start: int, end: int) -> Iterator[Row]:
        """The records that are stored from `start` up to before `end`, in order."""

    def index_of(self, event: bytes) -> int | None:
        """The index of the record with this event id, or None."""

    def checkpoint(self, size: int) -> str | None:
        """The note of the checkpoint at this size, or None."""

    def checkpoints(self, above: int, upto: int) -> list[tuple[int, str]]:
        """Checkpoints with a size in (above, upto], in order."""

    def stored_nodes(self) -> Iterator[tuple[int, int, bytes]]:
        """The inner nodes of the tree that are kept, as (level, position, hash)."""

    def stray_blobs(self) -> list[int]:
        """Indexes of blobs that belong to no leaf."""


class LogRows:
    """Read access to a log's tables."""

    kind = "database"

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read through an open connection.

        Args:
            connection: an open database; this class never writes to it.
        """
        self._connection = connection

    def facts(self) -> dict[str, str]:
        """What the log says about itself: `format`, `origin`, `vkey`."""
        return dict(self._connection.execute("SELECT name, value FROM log"))

    def size(self) -> int:
        """Records in the log: one more than the highest index."""
        (highest,) = self._connection.execute("SELECT max(idx) FROM leaves").fetchone()
        return 0 if highest is None else int(highest) + 1

    def extent(self) -> tuple[int, tuple[int, str] | None]:
        """Size and newest checkpoint, both of the same moment."""
        self._connection.execute("BEGIN")
        try:
            return self.size(), self.last_checkpoint()
        finally:
            self._connection.execute("COMMIT")

    def leaf(self, index: int) -> bytes:
        """One leaf.

        Raises:
            LogFormatError: if there is no such record.
        """
        row = self._connection.execute("SELECT leaf FROM leaves WHERE idx = ?", (index,)).fetchone()
        if row is None:
            raise LogFormatError(f"Record {index} is missing. Verify the log.")
        return bytes(row[0])

    def index_of(self, event: bytes) -> int | None:
        """The index of the record with this event id, or None."""
        row = self._connection.execute(
            "SELECT idx FROM leaves WHERE substr(leaf, 57, 16) = ?", (event,)
        ).fetchone()
        return None if row is None else int(row[0])

    def known(self, events: Sequence[bytes]) -> set[bytes]:
        """Those of the given event ids that have a record, in one look."""
        holes = ",".join("?" * len(events))
        found = self._connection.execute(
            f"SELECT substr(leaf, 57, 16) FROM leaves WHERE substr(leaf, 57, 16) IN ({holes})",  # noqa: S608 - question marks
            events,
        )
        return {bytes(event) for (event,) in found}

    def openings(self, start: int, end: int) -> list[int]:
        """Indexes of the epoch-open records from `start` up to before `end`, in order.

        Raises:
            LogFormatError: if a record on the way is missing or no leaf.
        """
        found: list[int] = []
        while end > start:
            try:
                last = Leaf.unpack(self.leaf(end - 1))
            except LeafFormatError as error:
                raise LogFormatError(f"Record {end - 1} does not read: {error}.") from error
            opening = end - 1 - last.seq
            if opening >= start:
                found.append(opening)
            end = min(opening, end - 1)
        return found[::-1]

    def last_witnessed(self) -> Row | None:
        """The newest word of a witness; there is an index of those."""
        found = self._connection.execute(
            "SELECT idx FROM leaves WHERE substr(leaf, 5, 1) = x'0e' ORDER BY idx DESC LIMIT 1"
        ).fetchone()
        return None if found is None else next(self.rows(found[0], found[0] + 1))

    def decisions(self) -> Iterator[Row]:
        """What two officers decided, in order: holds, releases, erasures; there is an index."""
        found = self._connection.execute(
            "SELECT idx FROM leaves WHERE substr(leaf, 5, 1) IN (x'09', x'0a') ORDER BY idx"
        ).fetchall()
        for (index,) in found:
            yield from self.rows(index, index + 1)

    def prunes(self, size: int) -> Iterator[Row]:
        """The prune records among the first `size` records, in order; there is an index."""
        found = self._connection.execute(
            "SELECT idx FROM leaves WHERE substr(leaf, 5, 1) = x'0b' AND idx < ? ORDER BY idx",
            (size,),
        ).fetchall()
        for (index,) in found:
            yield from self.rows(index, index + 1)

    def content_fronts(self, start: int, end: int) -> list[tuple[bytes, bytes]]:
        """Leaf and first 16 bytes of content of the records in a range that have their content."""
        return self._connection.execute(
            "SELECT l.leaf, substr(b.content, 1, 16) FROM blobs b JOIN leaves l USING (idx) "
            "WHERE b.idx >= ? AND b.idx < ? AND b.content IS NOT NULL ORDER BY b.idx",
            (start, end),
        ).fetchall()

    def rows(self, start: int, end: int) -> Iterator[Row]:
        """The records that are stored from `start` up to before `end`, in order."""
        found = self._connection.execute(
            "SELECT l.idx, l.leaf, b.meta, b.content FROM leaves l LEFT JOIN blobs b USING (idx) "
            "WHERE l.idx >= ? AND l.idx < ? ORDER BY l.idx",
            (start, end),
        )
        for index, leaf, meta, content in found:
            yield Row(index, leaf, meta, content)

    def marked(self, start: int, end: int) -> list[Row]:
        """The records from `start` up to before `end`, in order, with the marks of their metadata.

        What a search looks at: no sealed text is read from the disk.
        """
        found = self._connection.execute(
            "SELECT l.idx, l.leaf, substr(b.meta, 1, ?) FROM leaves l LEFT JOIN blobs b USING (idx)"
            " WHERE l.idx >= ? AND l.idx < ? ORDER BY l.idx",
            (MARKS_SIZE, start, end),
        )
        return [Row(index, leaf, marks, None) for index, leaf, marks in found]

    def metadata(self, index: int) -> Iterator[Row]:
        """One record with its metadata blob alone; none if it is not there."""
        found = self._connection.execute(
            "SELECT l.leaf, b.meta FROM leaves l LEFT JOIN blobs b USING (idx) WHERE l.idx = ?",
            (index,),
        )
        for leaf, meta in found:
            yield Row(index, leaf, meta, None)

    def leaves(self, start: int, end: int) -> list[bytes]:
        """The leaves from `start` up to before `end`, in order.

        Raises:
            LogFormatError: if one is missing.
        """
        found = self._connection.execute(
            "SELECT leaf FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx", (start, end)
        ).fetchall()
        if len(found) != end - start:
            raise LogFormatError(f"Records between {start} and {end} are missing. Verify the log.")
        return [bytes(leaf) for (leaf,) in found]

    def blob_lengths(self, start: int, end: int) -> dict[int, tuple[int, int]]:
        """Lengths of metadata and content blob by record, 0 for none; bare leaves are left out."""
        found = self._connection.execute(
            "SELECT idx, coalesce(length(meta), 0), coalesce(length(content), 0) FROM blobs "
            "WHERE idx >= ? AND idx < ?",
            (start, end),
        )
        return {index: (meta, content) for index, meta, content in found}

    def stray_blobs(self) -> list[int]:
        """Indexes of blobs that belong to no leaf."""
        found = self._connection.execute(
            "SELECT idx FROM blobs WHERE idx NOT IN (SELECT idx FROM leaves) ORDER BY idx LIMIT 10"
        )
        return [int(index) for (index,) in found]

    def last_checkpoint(self) -> tuple[int, str] | None:
        """Size and note of the newest checkpoint."""
        row = self._connection.execute(
            "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
        ).fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    def checkpoint_count(self, limit: int) -> int:
        """How many checkpoints there are, counted up to `limit`."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM checkpoints LIMIT ?)", (limit,)
        ).fetchone()
        return int(count)

    def checkpoint(self, size: int) -> str | None:
        """The note of the checkpoint at this size, or None."""
        row = self._connection.execute(
            "SELECT note FROM checkpoints WHERE size = ?", (size,)
        ).fetchone()
        return None if row is None else str(row[0])

    def checkpoints(self, above: int, upto: int) -> list[tuple[int, str]]:
        """Checkpoints with a size in (above, upto], in order."""
        found = self._connection.execute(
            "SELECT size, note FROM checkpoints WHERE size > ? AND size <= ? ORDER BY size",
            (above, upto),
        )
        return [(int(size), str(note)) for size, note in found]

    def stored_nodes(self) -> Iterator[tuple[int, int, bytes]]:
        """The inner nodes of the tree that are kept, as (level, position, hash)."""
        yield from self._connection.execute("SELECT level, position, hash FROM nodes")

    def node(self, level: int, position: int) -> bytes:
        """Hash of the full subtree of 2**level leaves at this position.

        Raises:
            LogFormatError: if a leaf or node that it is made of is missing.
        """
        kept = level - level % STORED_LEVELS
        width = 1 << level - kept
        hashes = self._kept_nodes(kept, position * width, width)
        if len(hashes) != width:
            raise LogFormatError("Nodes of the tree are missing. Verify the log.")
        while len(hashes) > 1:
            hashes = [node_hash(*hashes[place : place + 2]) for place in range(0, len(hashes), 2)]
        return hashes[0]

    def frontier(self, size: int) -> Frontier:
        """The right edge of the tree over the first `size` leaves."""
        return Frontier(size, (self.node(level, position) for level, position in subtrees(size)))

    def _kept_nodes(self, level: int, first: int, count: int) -> list[bytes]:
        if level == 0:
            found = self._connection.execute(
                "SELECT leaf FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx",
                (first, first + count),
            )
            return [leaf_hash(leaf) for (leaf,) in found]
        found = self._connection.execute(
            "SELECT hash FROM nodes WHERE level = ? AND position >= ? AND position < ? "
            "ORDER BY position",
            (level, first, first + count),
        )
        return [bytes(node) for (node,) in found]
