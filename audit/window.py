"""Which records are asked for, by what stands in clear in their leaves."""

from __future__ import annotations

from dataclasses import dataclass

from audit.leaf import Leaf


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, and kinds of records.

    Attributes:
        since: first moment, nanoseconds since 1970, or None.
        until: moment before which it ends, or None.
        kinds: labels of the kinds of records, empty for all.
    """

    since: int | None = None
    until: int | None = None
    kinds: frozenset[str] = frozenset()

    def holds(self, leaf: Leaf) -> bool:
        """Whether a record is in it."""
        return (
            (not self.kinds or leaf.kind.label in self.kinds)
            and (self.since is None or leaf.wall_ns >= self.since)
            and (self.until is None or leaf.wall_ns < self.until)
        )
