"""Records sealed and hashed in memory, on their way to one durable batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from audit.blob import CONTENT, META, seal
from audit.leaf import NO_HASH, NO_TOKEN, Leaf, LeafFlag, LeafType, leaf_hash
from audit.merkle import Frontier
from audit.payloads import EpochOpen
from audit.retention import Pruned
from audit.rows import Row
from audit.uuid7 import uuid7
from audit.writer.bonds import Bonds
from audit.writer.clock import Clock, Instant
from audit.writer.epoch import Epoch
from audit.writer.request import AppendRequest, canonical
from audit.writer.store import Batch

_UNANSWERED_PER_RECORD: Final = 1000


class Draft:
    """A batch in the making; the log's state is untouched until the batch is durable.

    Sealing moves the epoch's ratchet on for good, so a draft that fails ends its epoch.
    """

    def __init__(
        self, epoch: Epoch, tree: Frontier, prev: bytes, log: bytes, clock: Clock, boot: bytes
    ) -> None:
        """Start an empty batch.

        Args:
            epoch: the running epoch.
            tree: the tree's right edge; copied.
            prev: hash of the last leaf.
            log: the log's id.
            clock: source of both times.
            boot: the kernel's id of this boot.
        """
        self.batch = Batch()
        self.tree = tree.copy()
        self.prev = prev
        self.epoch = epoch
        self.bonds = Bonds()
        self._log = log
        self._clock = clock
        self._boot = boot

    def add(self, request: AppendRequest) -> int:
        """Seal a client's record and return its index."""
        now = self._clock.now()
        index, log = self.epoch.index, self._log
        flags, key, bond = self.bonds.of(request, self.tree.size)
        leaf = self._leaf(
            request.kind,
            LeafFlag.CONTENT | request.flags | flags,
            now,
            request.event,
            index.token("actor", request.actor),
            index.token("subject", request.subject),
        )
        header, marks = leaf.header(), index.marks(request.marked, leaf.index)
        text = _sealed_meta(request, now)
        meta = seal(self.epoch.metadata.key(), text, log, header, META, marks)
        content = seal(self.epoch.contents.key(key), request.content, log, header, CONTENT, bond)
        if request.kind is LeafType.PROMPT:
            self.batch.asked.append(request.event)
        if request.answers is not None:
            self.batch.answered.append(request.answers)
        return self._append(header, meta, content)

    def add_own(
        self,
        kind: LeafType,
        payload: Mapping[str, Any] | None = None,
        event: UUID | None = None,
    ) -> int:
        """Add a record of the writer about the log itself, with plain metadata."""
        flags = 0 if payload is None else LeafFlag.PLAIN_META
        name = (event or uuid7()).bytes
        leaf = self._leaf(kind, flags, self._clock.now(), name, NO_TOKEN, NO_TOKEN)
        meta = None if payload is None else canonical(dict(payload))
        return self._append(leaf.header(), meta, None)

    def note_unanswered(self, events: Sequence[bytes]) -> None:
        """Record the prompts that had no answer when the writer last stopped, and forget them."""
        for start in range(0, len(events), _UNANSWERED_PER_RECORD):
            part = events[start : start + _UNANSWERED_PER_RECORD]
            payload = {"fault": "unanswered", "events": [str(UUID(bytes=event)) for event in part]}
            self.add_own(LeafType.FAULT, payload)
        self.batch.answered += events

    def prune(self, pruned: Pruned) -> None:
        """Record which contents have had their time, and take them out with the same commit."""
        self.add_own(LeafType.PRUNE, pruned.to_json())
        self.batch.pruned += pruned.ranges

    def open_epoch(self, epoch: Epoch, opening: EpochOpen) -> None:
        """Go on in this epoch, beginning with its opening record."""
        self.epoch = epoch
        self.add_own(LeafType.EPOCH_OPEN, opening.to_json())

    def checkpoint(self) -> str:
        """Sign the tree as it stands in the draft."""
        note = self.epoch.sign(self.tree.size, self.tree.root())
        self.batch.notes.append((self.tree.size, note))
        return note

    def _leaf(
        self,
        kind: LeafType,
        flags: int,
        now: Instant,
        event: bytes,
        actor: bytes,
        subject: bytes,
    ) -> Leaf:
        return Leaf(
            kind=kind,
            flags=flags,
            index=self.tree.size,
            epoch=self.epoch.number,
            seq=self.epoch.position,
            boot_ns=now.boot,
            wall_ns=now.wall,
            boot_id=self._boot,
            event=event,
            actor=actor,
            subject=subject,
            prev=self.prev,
        )

    def _append(self, header: bytes, meta: bytes | None, content: bytes | None) -> int:
        index = self.tree.size
        leaf = header + _hash(meta) + _hash(content)
        self.prev = leaf_hash(leaf)
        self.batch.nodes += self.tree.add(self.prev)
        self.batch.rows.append(Row(index, leaf, meta, content))
        self.epoch.advance()
        return index


def _sealed_meta(request: AppendRequest, now: Instant) -> bytes:
    """The metadata that gets sealed, as canonical JSON; the keys stand in canonical order."""
    stamp = f'"time":"{iso_time(now.wall)}","type":"{request.kind.label}","version":2'
    return b'{"meta":' + request.meta + b"," + stamp.encode() + b"}"


def iso_time(wall_ns: int) -> str:
    """A wall clock reading in UTC with microseconds, RFC 3339."""
    seconds, nanoseconds = divmod(wall_ns, 1_000_000_000)
    when = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return when.isoformat(timespec="microseconds")[:-6] + "Z"


def _hash(blob: bytes | None) -> bytes:
    return NO_HASH if blob is None else hashlib.sha256(blob).digest()
