"""The rules by which records and epochs follow each other, checked leaf by leaf.

1. The first record opens epoch 0 with the key that the verifier trusts.
2. Each epoch opens with the key that the epoch before promised, and says truly how that one ended:
   closed by a closing record, or unclean, at this size and root.
3. The end of each epoch stands under a checkpoint by that epoch's own key.
4. In an epoch the sequence has no gap, the boot stays the same and its clock never runs back.
5. Only the log's own records have plain metadata.
6. An epoch that goes on far beyond the limits that it opened with is remarked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audit.decisions import check_decision
from audit.errors import LogFormatError
from audit.leaf import Leaf, LeafFlag, LeafType
from audit.note import VerifierKey
from audit.payloads import (
    CLOSED,
    ERASURE_REPLAYED,
    SUBJECT_KEYS_LOST,
    UNCLEAN,
    EpochOpen,
    WitnessReceipt,
    parse_plain,
)
from audit.report import Report, format_time

MAX_SILENCE: Final = 600_000_000_000  # nanoseconds; the writer adds a heartbeat after half of it
_PATIENCE: Final = 600  # seconds that an epoch may go on beyond its time before it is remarked

_PLAIN: Final = frozenset(
    {
        LeafType.EPOCH_OPEN,
        LeafType.EPOCH_CLOSE,
        LeafType.HOLD,
        LeafType.SHRED,
        LeafType.PRUNE,
        LeafType.FAULT,
        LeafType.CLOCK_STEP,
        LeafType.WITNESS,
    }
)


@dataclass(slots=True)
class _Current:
    number: int
    key: VerifierKey | None
    promised: bytes | None
    last: Leaf
    seq: int
    opening: EpochOpen | None
    opened: int
    overrun: bool = False


class Succession:
    """Where a walk through the log stands."""

    def __init__(self, report: Report, trusted: VerifierKey) -> None:
        """Start before the first record.

        Args:
            report: takes problems and remarks.
            trusted: verifier key of epoch 0.
        """
        self._report = report
        self._trusted = trusted
        self._current: _Current | None = None

    @property
    def key(self) -> VerifierKey | None:
        """The key that signs the epoch of the last record."""
        return self._current.key if self._current else None

    def record(
        self,
        index: int,
        leaf: Leaf,
        meta: bytes | None,
        root: Callable[[], bytes],
        signed: int,
    ) -> EpochOpen | None:
        """Check one record against those before it.

        Args:
            index: its place.
            leaf: its leaf.
            meta: its metadata blob, None if that is missing or changed.
            root: gives the root of the tree before it.
            signed: size of the newest checkpoint before it.

        Returns:
            What it says, if it opens an epoch.
        """
        opening = None
        if leaf.kind is LeafType.EPOCH_OPEN:
            opening = self._opening(index, leaf, meta, root(), signed)
        elif self._current is None or leaf.epoch != self._current.number:
            self._report.blame(index, f"it belongs to epoch {leaf.epoch}, which was not opened")
            self._enter(leaf, None)
        else:
            self._next(index, leaf, self._current)
        if leaf.flags & LeafFlag.PLAIN_META:
            self._plain(index, leaf, meta)
        return opening

    def skip(self) -> None:
        """Pass over a record that is missing or unreadable."""
        if self._current is not None:
            self._current.seq += 1

    def _opening(
        self, index: int, leaf: Leaf, meta: bytes | None, root: bytes, signed: int
    ) -> EpochOpen | None:
        try:
            opening = EpochOpen.parse(meta or b"")
        except LogFormatError as error:
            self._report.blame(index, str(error))
            self._enter(leaf, None)
            return None
        before = self._current
        expected = before.number + 1 if before else 0
        if leaf.epoch != expected or leaf.seq != 0:
            self._report.blame(index, f"it should open epoch {expected}")
        if opening.origin != self._trusted.name:
            self._report.blame(index, f"it opens an epoch of another log, {opening.origin}")
        self._check_key(index, opening, before)
        self._check_ending(index, opening, before, root, signed)
        self._enter(leaf, opening)
        return opening

    def _check_key(self, index: int, opening: EpochOpen, before: _Current | None) -> None:
        if before is None:
            if opening.key != self._trusted.public:
                self._report.blame(
                    index,
                    "the log does not begin with the trusted key: it is another log, its beginning "
                    "is missing, or the verifier key is the wrong one",
                )
        elif before.promised is not None and opening.key != before.promised:
            self._report.blame(index, "it opens an epoch with a key that was not promised")

    def _check_ending(
        self, index: int, opening: EpochOpen, before: _Current | None, root: bytes, signed: int
    ) -> None:
        said = opening.previous
        if before is None:
            if said is not None or index != 0:
                self._report.blame(index, "the log's beginning is missing")
            return
        closed = before.last.kind is LeafType.EPOCH_CLOSE
        if (
            said is None
            or (said.end == CLOSED) != closed
            or (said.size, said.root) != (index, root)
        ):
            self._report.blame(index, "it does not say how the epoch before it ended")
        elif said.end == UNCLEAN:
            self._report.remarks.append(
                f"epoch {before.number} ended unclean at size {index}, "
                f"{format_time(before.last.wall_ns)}: its writer was stopped by force "
                "or its disk refused"
            )
        if signed != index:
            self._report.blame(
                index - 1, "the end of its epoch stands under no checkpoint by that epoch's key"
            )

    def _next(self, index: int, leaf: Leaf, current: _Current) -> None:
        if current.last.kind is LeafType.EPOCH_CLOSE:
            self._report.blame(index, "it stands after the end of its epoch")
        if leaf.seq != current.seq + 1:
            self._report.blame(index, f"it should be number {current.seq + 1} of its epoch")
        if leaf.boot_id != current.last.boot_id or leaf.boot_ns < current.last.boot_ns:
            self._report.blame(index, "its clock runs back, or it comes from another boot")
        elif leaf.boot_ns - current.last.boot_ns > MAX_SILENCE:
            minutes = (leaf.boot_ns - current.last.boot_ns) // 60_000_000_000
            self._report.remarks.append(
                f"no record for {minutes} minutes before record {index}; the writer adds one "
                "every 5 minutes"
            )
        current.last, current.seq = leaf, leaf.seq
        self._check_limits(index, leaf, current)

    def _check_limits(self, index: int, leaf: Leaf, current: _Current) -> None:
        """A writer whose next epoch can not open goes on in this one, and so does a thief of it."""
        if current.opening is None or current.overrun:
            return
        limits = current.opening.limits
        late = leaf.boot_ns - current.opened > (limits.seconds + _PATIENCE) * 1_000_000_000
        if late or leaf.seq > 2 * limits.records:
            current.overrun = True
            self._report.remarks.append(
                f"record {index}: epoch {current.number} goes on beyond its "
                f"{limits.records} records or {limits.seconds / 3600:g} h; its writer could "
                "not open the next. See what it said, and whether the officers' file is in order"
            )

    def _plain(self, index: int, leaf: Leaf, meta: bytes | None) -> None:
        if leaf.kind not in _PLAIN:
            self._report.blame(index, "its metadata is plain, which only the log's own may be")
            return
        if meta is None or leaf.kind in (LeafType.EPOCH_OPEN, LeafType.EPOCH_CLOSE):
            return
        try:
            if leaf.kind is LeafType.WITNESS:
                self._report.receipts.append((index, WitnessReceipt.parse(meta)))
                return
            if leaf.kind is LeafType.PRUNE:
                self._report.prunes.append((index, leaf.wall_ns, meta))
                return
            opening = self._current.opening if self._current else None
            if leaf.kind in (LeafType.HOLD, LeafType.SHRED):
                if opening is not None:
                    check_decision(index, leaf, meta, opening, self._report)
                return
            self._remark(index, leaf, parse_plain(meta))
        except LogFormatError as error:
            self._report.blame(index, str(error))

    def _remark(self, index: int, leaf: Leaf, payload: dict[str, object]) -> None:
        if leaf.kind is LeafType.CLOCK_STEP:
            self._report.remarks.append(
                f"record {index}: the wall clock was set from {payload.get('from')} "
                f"to {payload.get('to')}"
            )
        if payload.get("fault") == SUBJECT_KEYS_LOST:
            self._report.remarks.append(
                f"record {index}: the keys of subjects were lost, so what was said about subjects "
                "before opens only in exports that were made in time"
            )
        if payload.get("fault") == ERASURE_REPLAYED:
            self._report.remarks.append(
                f"record {index}: subjects that had been erased had come back with an older copy "
                f"of keys.db, or their erasure was broken off; {payload.get('subjects')} of them "
                "were erased again before anything was served"
            )
        events = payload.get("events")
        if payload.get("fault") == "unanswered" and isinstance(events, list):
            self._report.remarks.append(
                f"record {index}: {len(events)} prompts had no answer when the writer stopped"
            )
        if "until" in payload:
            self._report.remarks.append(
                f"record {index}: the log was {payload.get('fault')} from {payload.get('since')} "
                f"to {payload['until']} and refused {payload.get('refused')} records"
            )

    def _enter(self, leaf: Leaf, opening: EpochOpen | None) -> None:
        """Go on in this leaf's epoch, as far as its opening can be trusted."""
        before = self._current
        public = opening.key if opening else (before.promised if before else self._trusted.public)
        key = VerifierKey(self._trusted.name, public) if public is not None else None
        promised = opening.next_key if opening else None
        self._current = _Current(
            leaf.epoch, key, promised, leaf, leaf.seq, opening, opened=leaf.boot_ns
        )
