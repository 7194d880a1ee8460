"""Pruning: contents whose term is over are looked for a piece at a time, oldest first."""

from __future__ import annotations

from typing import Final

from audit.errors import LeafFormatError, ReadOnlyError
from audit.leaf import Leaf, LeafFlag
from audit.retention import DAY, Days, Pruned, is_due, pruned
from audit.rows import LogRows
from audit.writer.custody import Custody

_PIECE: Final = 1000  # records looked at, and pruned at most, in one step
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

    def is_due(self, boot_ns: int) -> bool:
        """Whether there may be something to prune.

        Args:
            boot_ns: CLOCK_BOOTTIME, nanoseconds.
        """
        return bool(self._days) and boot_ns >= self._again

    def step(self, rows: LogRows, custody: Custody, wall_ns: int, boot_ns: int) -> Pruned | None:
        """Look at the next piece; returns what of it is to be pruned.

        Args:
            rows: the log's database.
            custody: says what is on hold.
            wall_ns: now, nanoseconds since 1970.
            boot_ns: CLOCK_BOOTTIME, nanoseconds.

        Raises:
            ReadOnlyError: if a leaf does not read.
        """
        fronts = rows.content_fronts(self._next, _PIECE)
        try:
            leaves = [(Leaf.unpack(leaf), front) for leaf, front in fronts]
        except LeafFormatError as error:
            raise ReadOnlyError(f"A leaf does not read: {error}. Verify the log.") from error
        if len(fronts) < _PIECE or not self._old_enough(leaves[-1][0], wall_ns):
            self._next, self._again = 0, boot_ns + _PAUSE
        else:
            self._next = leaves[-1][0].index + 1
        due = [
            leaf
            for leaf, front in leaves
            if is_due(leaf, self._days, wall_ns) and not _held(leaf, front, custody)
        ]
        return pruned(self._days, due) if due else None

    def _old_enough(self, leaf: Leaf, wall_ns: int) -> bool:
        """Whether records behind this one may be due too."""
        return leaf.wall_ns + min(self._days.values()) * DAY <= wall_ns


def _held(leaf: Leaf, front: bytes, custody: Custody) -> bool:
    bound = leaf.flags & LeafFlag.SUBJECT_BOUND
    subject = custody.subjects.ident_of(leaf.index, front) if bound else None
    return bool(custody.ledger.held_by(subject))
