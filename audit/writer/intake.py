"""Taking requests into a draft, each event id once."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from uuid import UUID

from audit.errors import RecordRefusedError
from audit.leaf import leaf_hash
from audit.note import read_checkpoint
from audit.protocol import Receipt
from audit.rows import LogRows
from audit.writer.draft import Draft
from audit.writer.recent import RecentEvents
from audit.writer.request import AppendRequest

Outcome = Receipt | RecordRefusedError


class Intake:
    """One batch of requests on its way into a draft."""

    def __init__(self, draft: Draft, rows: LogRows, recent: RecentEvents) -> None:
        """Start an empty batch.

        Args:
            draft: takes the records.
            rows: the database, to find events of earlier runs.
            recent: events of this run.
        """
        self._draft = draft
        self._rows = rows
        self._recent = recent
        self._known: set[bytes] = set()
        self._fresh: dict[bytes, tuple[bytes, int]] = {}
        self._places: list[int | Outcome] = []

    @property
    def has_records(self) -> bool:
        """Whether anything was added that has to become durable."""
        return bool(self._fresh)

    def take(self, requests: Sequence[AppendRequest]) -> None:
        """Seal each request whose event is new; find the receipt of each that is a retry."""
        self._known = self._rows.known([request.event for request in requests])
        self._places = [self._place(request) for request in requests]

    def outcomes(self, note: str) -> list[Outcome]:
        """What to answer, once the draft is durable under this checkpoint."""
        size, root = self._draft.tree.size, _base64(self._draft.tree.root())
        for event, (digest, index) in self._fresh.items():
            self._recent.add(event, digest, index, size)
        leaves = {row.index: row.leaf for row in self._draft.batch.rows}
        return [
            _receipt(place, leaves[place], size, root, note) if isinstance(place, int) else place
            for place in self._places
        ]

    def _place(self, request: AppendRequest) -> int | Outcome:
        if (fresh := self._fresh.get(request.event)) is not None:
            digest, index = fresh
            return index if digest == request.digest else _taken(request)
        if (recent := self._recent.get(request.event)) is not None:
            digest, index, size = recent
            return self._repeat(index, size) if digest == request.digest else _taken(request)
        if request.event in self._known:
            return _taken(request)
        index = self._draft.add(request)
        self._fresh[request.event] = (request.digest, index)
        return index

    def _repeat(self, index: int, size: int) -> Receipt:
        """The receipt that a record had at first."""
        note = self._rows.checkpoint(size) or ""
        root = _base64(read_checkpoint(note).root)
        return _receipt(index, self._rows.leaf(index), size, root, note)


def _receipt(index: int, leaf: bytes, size: int, root: str, note: str) -> Receipt:
    event = str(UUID(bytes=leaf[56:72]))
    return Receipt(event, index, _base64(leaf_hash(leaf)), size, root, note)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _taken(request: AppendRequest) -> RecordRefusedError:
    return RecordRefusedError(
        f"The event {UUID(bytes=request.event)} is recorded already. Use a new event id."
    )
