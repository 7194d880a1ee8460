"""Pruning: contents whose term is over are looked for a piece at a time, oldest first."""

from __future__ import annotations

from typing import Final

from audit.errors import LeafFormatError, ReadOnlyError
from audit.leaf import Leaf, LeafFlag
from audit.retention import DAY, Days, Pruned, is_due, pruned
from audit.writer.clock import Instant
from audit.writer.custody import Custody
from audit.writer.store import Store

_PIECE: Final = 1000  # records looked at in one step
_PAUSE: Final = 3600 * 1_000_000_000  # nanoseconds between two rounds through the log


class Pruner:
    """Where the round through the log stands."""

    def __init__(self, days: Days) -> None:
        """Start before the first record.

        Args:
            days: by class; without any nothing is ever pruned.
        """
        self._days = {kind: kept for kind, kept in days.items() if kept}
        self._next = 0
        self._again = 0
        self._scrubbed = True

    def is_due(self, boot_ns: int) -> bool:
        """Whether there may be something to prune.

        Args:
            boot_ns: CLOCK_BOOTTIME, nanoseconds.
        """
        return bool(self._days) and boot_ns >= self._again

    def step(self, store: Store, custody: Custody, now: Instant) -> Pruned | None:
        """Look at the next piece; returns what of it is to be pruned, None if nothing is.

        Args:
            store: the log's database.
            custody: says what is on hold.
            now: both clocks.

        Raises:
            ReadOnlyError: if a leaf does not read, or the database is damaged.
            NotDurableError: if the disk refuses.
        """
        end = self._next + _PIECE
        fronts = store.rows.content_fronts(self._next, end)
        try:
            leaves = [(Leaf.unpack(leaf), front) for leaf, front in fronts]
        except LeafFormatError as error:
            raise ReadOnlyError(f"A leaf does not read: {error}. Verify the log.") from error
        due = [
            leaf
            for leaf, front in leaves
            if is_due(leaf, self._days, now.wall) and not _held(leaf, front, custody)
        ]
        if due:
            self._scrubbed = False
            return pruned(self._days, due)
        self._next = end
        if end >= store.rows.size() or (leaves and self._is_young(leaves[-1][0], now.wall)):
            self._finish(store, now.boot)
        return None

    def _finish(self, store: Store, boot_ns: int) -> None:
        """End the round; readers that are slow may hold up the scrubbing, so it comes once."""
        self._next, self._again = 0, boot_ns + _PAUSE
        if not self._scrubbed:
            store.scrub()
            self._scrubbed = True

    def _is_young(self, leaf: Leaf, wall_ns: int) -> bool:
        """Whether no record behind this one can be due."""
        return leaf.wall_ns + min(self._days.values()) * DAY > wall_ns


def _held(leaf: Leaf, front: bytes, custody: Custody) -> bool:
    bound = leaf.flags & LeafFlag.SUBJECT_BOUND
    subject = custody.subjects.ident_of(leaf.index, front) if bound else None
    return bool(custody.ledger.held_by(subject))
