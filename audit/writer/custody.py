"""Keys of subjects in the writer's care, and what officers decided about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit.approval import VALID_DAYS, Action, Statement, check_approvals, commitment
from audit.decisions import Decision, Entry, Ledger
from audit.errors import (
    ApprovalError,
    ErasedError,
    LogFormatError,
    ReadOnlyError,
    RecordRefusedError,
)
from audit.leaf import Leaf, LeafFlag
from audit.payloads import ERASURE_REPLAYED, SUBJECT_KEYS_LOST
from audit.rows import LogRows
from audit.subject import record_key, word_of
from audit.writer.bonds import Bonds
from audit.writer.request import AppendRequest
from audit.writer.subjects import Subjects

_AHEAD = timedelta(days=1)  # that the clock of an officer's laptop may be ahead


@dataclass(frozen=True, slots=True)
class Approved:
    """A statement with signatures, as it comes to the writer.

    Attributes:
        note: statement and signatures.
        subject: whom it is about, in clear, or None.
        salt: opens the statement's commitment to that name.
    """

    note: str
    subject: str | None
    salt: bytes


class Custody:
    """All subjects, and the ledger; used by one thread."""

    def __init__(self, folder: Path, origin: str) -> None:
        """Say where the keys are; `open` opens them.

        Args:
            folder: the log's folder.
            origin: name of the log.
        """
        self.subjects = Subjects(folder)
        self.ledger = Ledger()
        self._origin = origin

    def open(self, rows: LogRows, *, fresh: bool) -> list[dict[str, Any]]:
        """Open the keys, and erase again what the log says is erased.

        Args:
            rows: the log's database.
            fresh: whether the log is empty.

        Returns:
            What the log has to record as a fault.

        Raises:
            KeyFileError: if the keys do not belong together.
            NotDurableError: if the disk refuses.
            ReadOnlyError: if the ledger does not read.
        """
        faults: list[dict[str, Any]] = []
        try:
            self.ledger = Ledger.read(rows)
        except LogFormatError as error:
            raise ReadOnlyError(
                f"The ledger of erasures does not read: {error}. Verify the log and restore it."
            ) from error
        if self.subjects.open(fresh=fresh):
            faults.append({"fault": SUBJECT_KEYS_LOST})
        left = self.subjects.among(self.ledger.erased)
        if left:
            self.subjects.erase(left)
            faults.append({"fault": ERASURE_REPLAYED, "subjects": len(left)})
        return faults

    def close(self) -> None:
        """Close the keys."""
        self.subjects.close()

    def bonds(self, requests: Sequence[AppendRequest]) -> Bonds:
        """What binds the records of a batch; raises NotDurableError if the disk refuses."""
        return Bonds(self.subjects, self.ledger, requests)

    def words(self, rows: LogRows, indexes: Sequence[int]) -> list[str]:
        """What there is of the keys of records about subjects; they open nothing by themselves.

        Args:
            rows: the log's database.
            indexes: places of records; one that is about nobody, or not there, has no key.
        """
        return [self._word(rows, index) for index in indexes]

    def _word(self, rows: LogRows, index: int) -> str:
        for packed, front in rows.content_fronts(index, index + 1):
            if Leaf.unpack(packed).flags & LeafFlag.SUBJECT_BOUND:
                ident = self.subjects.ident_of(index, front)
                if ident in self.ledger.erased:
                    return word_of(ErasedError(self.ledger.erased[ident]))
                key = self.subjects.key_of(ident)
                return word_of(key and record_key(key, index))
        return ""

    def decide(
        self, approved: Approved, signers: Mapping[str, Sequence[str]], wall_ns: int
    ) -> Decision:
        """Check what two officers approved, before it is recorded.

        Args:
            approved: the statement.
            signers: verifier keys of the officers in office, by group.
            wall_ns: wall clock, nanoseconds since 1970.

        Raises:
            RecordRefusedError: if it must not be carried out.
            NotDurableError: if the disk refuses.
        """
        try:
            statement = check_approvals(approved.note, signers)
        except ApprovalError as error:
            raise RecordRefusedError(f"This can not be carried out: {error}", "refused") from error
        self._check(statement, approved, datetime.fromtimestamp(wall_ns / 1e9, UTC))
        match statement.action:
            case Action.ERASE:
                return Decision(approved.note, self._to_erase(approved.subject or ""))
            case Action.HOLD if approved.subject is not None:
                # Also what comes later about a subject that is not known yet is on hold.
                subject = self.subjects.ensure([approved.subject])[approved.subject]
                return Decision(approved.note, subject.ident)
            case Action.RELEASE if not self.ledger.has_matter(statement.ground):
                raise _refused(f"There is no hold of the matter {statement.ground} in force.")
        return Decision(approved.note, None)

    def carry_out(self, entry: Entry) -> None:
        """Do what was decided, once its record is durable; raises NotDurableError."""
        self.ledger.add(entry)
        decision = entry.decision
        if decision.statement.action is Action.ERASE and decision.subject is not None:
            self.subjects.erase([decision.subject])

    def _check(self, statement: Statement, approved: Approved, now: datetime) -> None:
        if statement.origin != self._origin:
            raise _refused(f"It was made for the log {statement.origin}, not {self._origin}.")
        if not now - timedelta(days=VALID_DAYS) <= statement.made <= now + _AHEAD:
            raise _refused(
                f"It was made on {statement.made:%Y-%m-%d}; a request counts for {VALID_DAYS} "
                "days. Make a new one."
            )
        named = approved.subject is not None
        if named != statement.names_subject or (
            named and commitment(approved.salt, approved.subject or "") != statement.about
        ):
            raise _refused("It names another subject than the one that was signed.")
        if (index := self.ledger.requests.get(statement.request)) is not None:
            raise _refused(f"It was carried out already: record {index}.")

    def _to_erase(self, name: str) -> bytes:
        subject = self.subjects.find(name)
        if subject is None:
            raise _refused(
                "The log has no contents about this subject, or they are erased already. Compare "
                "the spelling: case and spaces count."
            )
        if held := self.ledger.held_by(subject.ident):
            matters = ", ".join(f"{matter} (record {index})" for matter, index in held.items())
            raise _refused(
                f"It is on legal hold: {matters}. Nothing was erased. Two officers can release a "
                "hold: cloister audit release MATTER -o FILE"
            )
        return subject.ident


def _refused(message: str) -> RecordRefusedError:
    return RecordRefusedError(message, "refused")
