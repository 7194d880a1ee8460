"""The walk through a log's records, from the first to the last, three at a time in sight.

A leaf holds the hash of the one before it. Where two do not fit, the one after them tells which was
changed; the walk then goes on with the hash that was meant, so that one changed record does not
make every later one look wrong.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Final

from audit.errors import LeafFormatError, NoteFormatError, NoteSignatureError
from audit.leaf import NO_HASH, NO_TOKEN, Leaf, LeafFlag, LeafType, leaf_hash
from audit.merkle import Frontier
from audit.note import VerifierKey, read_checkpoint
from audit.report import Report
from audit.retention import Ranges
from audit.rows import Records, Row
from audit.succession import Succession

_CHUNK: Final = 1024  # records read by one query, and between two reports of progress
_INDEX: Final = slice(8, 16)  # where a leaf says which record it is
_PREV: Final = slice(104, 136)  # where a leaf holds the hash of the one before


class Walk:
    """One verification under way."""

    def __init__(
        self,
        rows: Records,
        trusted: VerifierKey,
        report: Report,
        size: int,
        watched: Collection[int] = (),
    ) -> None:
        """Start before the first record.

        Args:
            rows: the log's database.
            trusted: verifier key of epoch 0.
            report: takes what is found.
            size: records to walk.
            watched: sizes at which the root is kept in `roots`.
        """
        self.roots: dict[int, bytes] = {}
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.missing = Ranges()
        self._rows = rows
        self._trusted = trusted
        self._report = report
        self._size = size
        self._watched = frozenset(watched)
        self._succession = Succession(report, trusted)
        self._tree = Frontier()
        self._prev = NO_HASH
        self._signed = 0
        self._broken = False
        self._notes: dict[int, str] = {}

    def run(self, progress: Callable[[int, int], None] | None) -> None:
        """Check every record and every checkpoint."""
        stream = self._stream()
        sight: deque[Row] = deque()
        index = 0
        while index < self._size:
            if index % _CHUNK == 0:
                self._notes = dict(self._rows.checkpoints(index, index + _CHUNK))
                if progress is not None:
                    progress(index, self._size)
            while len(sight) < 3 and (row := next(stream, None)) is not None:
                sight.append(row)
            if not sight:
                self._missing(index, self._size, None)
                break
            if sight[0].index != index:
                index = self._missing(index, sight[0].index, sight[0])
                continue
            self._record(sight)
            sight.popleft()
            index += 1
        if progress is not None:
            progress(self._size, self._size)

    def finish(self, newest: tuple[int, str] | None) -> None:
        """Judge the end of the log.

        Args:
            newest: size and note of the newest checkpoint, seen together with the log's size.
        """
        report = self._report
        if newest is None:
            report.blame(None, "the log bears no signature at all")
        elif newest[0] > self._size:
            report.blame(
                None,
                f"the newest checkpoint covers {newest[0]} records, but the log holds "
                f"{self._size}: the last {newest[0] - self._size} are missing",
            )

    def _stream(self) -> Iterator[Row]:
        for start in range(0, self._size, _CHUNK):
            yield from self._rows.rows(start, min(start + _CHUNK, self._size))

    def _missing(self, index: int, end: int, after: Row | None) -> int:
        """Pass over records that are not there; a single one is known by the hash after it."""
        for gone in range(index, min(end, index + 3)):
            self._report.blame(gone, "it is missing")
            self._succession.skip()
        if after is not None and end == index + 1:
            self._grow(index, after.leaf[_PREV])
        else:
            self._broken = True
        return end

    def _record(self, sight: deque[Row]) -> None:
        row = sight[0]
        actual = leaf_hash(row.leaf)
        meant = self._contradicted(actual, sight)
        if meant is not None:
            self._report.blame(
                row.index, f"its leaf is not the one that record {row.index + 1} follows"
            )
        elif row.leaf[_PREV] != self._prev and not self._broken:
            self._report.blame(row.index, "it does not follow the record before it")
        self._leaf(row, changed=meant is not None)
        self._grow(row.index, meant or actual)

    def _contradicted(self, actual: bytes, sight: deque[Row]) -> bytes | None:
        """The hash that this leaf was meant to have, if it is this leaf that was changed."""
        if len(sight) < 2 or sight[1].index != sight[0].index + 1:
            return None
        if sight[1].leaf[_INDEX] != sight[1].index.to_bytes(8, "big"):
            return None  # another record was moved into that place: it says nothing about this one
        meant, following = sight[1].leaf[_PREV], leaf_hash(sight[1].leaf)
        if meant == actual or len(meant) != len(NO_HASH):
            return None
        if len(sight) == 3:
            vouched = sight[2].leaf[_PREV] == following
        else:
            vouched = self._fits(sight[1].index + 1, meant, following)
        return meant if vouched else None

    def _fits(self, size: int, *hashes: bytes) -> bool:
        """Whether the tree with these two more leaves has the root that was signed."""
        tree = self._tree.copy()
        for node in hashes:
            tree.add(node)
        try:
            return read_checkpoint(self._rows.checkpoint(size) or "").root == tree.root()
        except NoteFormatError:
            return False

    def _leaf(self, row: Row, *, changed: bool) -> None:
        try:
            leaf = Leaf.unpack(row.leaf)
        except LeafFormatError as error:
            self._report.blame(row.index, str(error))
            self._succession.skip()
            return
        if leaf.index != row.index:
            self._report.blame(row.index, f"it says that it is record {leaf.index}")
        meta = self._blobs(row, leaf)
        if changed and leaf.kind is not LeafType.EPOCH_OPEN:
            self._succession.skip()
            return
        self._note_times(row.index, leaf)
        opening = self._succession.record(row.index, leaf, meta, self._tree.root, self._signed)
        if opening is not None:
            self._report.openings.append((row.index, leaf.epoch, opening))

    def _note_times(self, index: int, leaf: Leaf) -> None:
        if index == 0:
            self._report.first_ns = leaf.wall_ns
        if index == self._size - 1:
            self._report.last_ns = leaf.wall_ns

    def _blobs(self, row: Row, leaf: Leaf) -> bytes | None:
        """Check both blobs and return the metadata blob if it is what was written."""
        if bool(leaf.flags & LeafFlag.CONTENT) != (leaf.content_hash != NO_HASH):
            self._report.blame(row.index, "its flags do not fit its content")
        if bool(leaf.flags & LeafFlag.SUBJECT_BOUND) != (leaf.subject != NO_TOKEN):
            self._report.blame(row.index, "its flags do not fit its subject")
        sound = {}
        parts = (
            ("metadata", row.meta, leaf.meta_hash),
            ("content", row.content, leaf.content_hash),
        )
        for name, blob, expected in parts:
            kept_back = blob is None and row.withheld and not leaf.flags & LeafFlag.PLAIN_META
            actual = NO_HASH if blob is None else hashlib.sha256(blob).digest()
            sound[name] = actual == expected or kept_back
            if not sound[name] and name == "content" and blob is None:
                self.missing.add(row.index)  # it may have been pruned
            elif not sound[name]:
                self._report.blame(
                    row.index, f"its {name} {'is missing' if blob is None else 'was changed'}"
                )
        return row.meta if sound["metadata"] else None

    def _grow(self, index: int, node: bytes) -> None:
        """Add a leaf to the tree, and check the checkpoint that stands there, if one does."""
        self._prev = node
        for level, position, full in self._tree.add(node):
            if not self._broken:
                self.nodes[level, position] = full
        if index + 1 in self._watched and not self._broken:
            self.roots[index + 1] = self._tree.root()
        note = self._notes.get(index + 1)
        if note is not None:
            self._checkpoint(index + 1, note)

    def _checkpoint(self, size: int, note: str) -> None:
        report, key, before = self._report, self._succession.key or self._trusted, self._signed
        self._signed = size
        report.checkpoints += 1
        try:
            checkpoint = key.verify(note)
        except (NoteFormatError, NoteSignatureError) as error:
            report.blame(None, f"the checkpoint at size {size}: {error}")
            return
        if checkpoint.size != size:
            report.blame(None, f"the checkpoint at size {size} was made for {checkpoint.size}")
        elif self._broken or checkpoint.root == self._tree.root():
            report.covered = size
        else:
            self._broken = True
            self._blame_unsigned(before, size)

    def _blame_unsigned(self, before: int, size: int) -> None:
        """Say which records are not what was signed, unless one of them is blamed already."""
        blamed = {p.record for p in self._report.problems if p.record is not None}
        if any(before <= record < size for record in blamed):
            return
        if size == self._size or size == before + 1:
            self._report.blame(size - 1, "it is not what was signed")
        else:
            self._report.blame(None, f"the records {before} to {size - 1} are not what was signed")
