"""What binds the records of one batch to their subjects' keys."""

from __future__ import annotations

from collections.abc import Sequence

from audit.decisions import Ledger
from audit.leaf import LeafFlag
from audit.ratchet import NO_SUBJECT_KEY
from audit.subject import Subject, record_key
from audit.writer.request import AppendRequest
from audit.writer.subjects import Subjects


class Bonds:
    """The subjects of a batch; empty for a batch of the writer's own records."""

    def __init__(
        self,
        subjects: Subjects | None = None,
        ledger: Ledger | None = None,
        requests: Sequence[AppendRequest] = (),
    ) -> None:
        """Fetch the subjects' keys; new ones are durable when this returns.

        Args:
            subjects: the keys of all subjects; None binds nothing.
            ledger: says who is on hold.
            requests: the batch.

        Raises:
            NotDurableError: if the disk refuses.
        """
        self._subjects = subjects
        self._ledger = ledger or Ledger()
        self._known: dict[str | None, Subject] = {}
        if subjects is not None:
            self._known = subjects.ensure(request.subject for request in requests)

    def of(self, request: AppendRequest, index: int) -> tuple[int, bytes, bytes]:
        """Flags of a record, the key that its content needs, and what stands in front of it.

        Args:
            request: the record.
            index: its place in the log.
        """
        subject = self._known.get(request.subject)
        held = self._ledger.held_by(subject.ident if subject else None)
        flags = LeafFlag.HOLD if held else 0
        if subject is None or self._subjects is None:
            return flags, NO_SUBJECT_KEY, b""
        key, bond = record_key(subject.key, index), self._subjects.bond(subject, index)
        return flags | LeafFlag.SUBJECT_BOUND, key, bond
