"""What two officers decided, as the log holds it: the ledger of erasures and holds.

The ledger *is* those records: there is no second list to keep in step. It names no person, only
the random ids of subjects' keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from audit.approval import Action, Statement, check_approvals
from audit.errors import ApprovalError, LeafFormatError, LogFormatError, NoteFormatError
from audit.leaf import Leaf, LeafType
from audit.note import split_note
from audit.payloads import EpochOpen, parse_plain
from audit.report import Report
from audit.rows import LogRows
from audit.subject import ID_SIZE

KINDS: Final = {
    Action.ERASE: LeafType.SHRED,
    Action.HOLD: LeafType.HOLD,
    Action.RELEASE: LeafType.HOLD,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """Plain metadata of a hold or shred record.

    Attributes:
        note: the statement with the signatures of both officers.
        subject: id of the subject's key, None where the statement is about no subject.
    """

    note: str
    subject: bytes | None

    @property
    def statement(self) -> Statement:
        """What was approved; raises ApprovalError or NoteFormatError if it does not read."""
        return Statement.parse(split_note(self.note)[0])

    def to_json(self) -> dict[str, Any]:
        """The payload as JSON values."""
        return {"note": self.note, "subject": self.subject and self.subject.hex()}

    @classmethod
    def parse(cls, blob: bytes) -> Decision:
        """Read the metadata blob of a hold or shred record.

        Raises:
            LogFormatError: if it is not one.
        """
        data = parse_plain(blob)
        try:
            subject = data["subject"] and bytes.fromhex(data["subject"])
            found = cls(str(data["note"]), subject)
            named = found.statement.names_subject
        except (KeyError, TypeError, ValueError, ApprovalError, NoteFormatError) as error:
            raise LogFormatError("it is not what two officers decided") from error
        if named != (subject is not None) or (named and len(subject or b"") != ID_SIZE):
            raise LogFormatError("its decision does not name whom it is about")
        return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision of the ledger: where it stands, when it was carried out, and what it says."""

    index: int
    wall_ns: int
    decision: Decision


@dataclass(slots=True)
class Ledger:
    """All decisions, and what is in force.

    Attributes:
        entries: in order.
        erased: index of the record of an erasure, by the subject's id.
        requests: index of the record by the id of the request that was carried out.
        holds: matter and record of each hold in force, by what it is on: a subject's id, or None
            for everything.
    """

    entries: list[Entry] = field(default_factory=list)
    erased: dict[bytes, int] = field(default_factory=dict)
    requests: dict[UUID, int] = field(default_factory=dict)
    holds: dict[bytes | None, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def read(cls, rows: LogRows) -> Ledger:
        """Read the ledger of a log.

        Raises:
            LogFormatError: if a record of it does not read.
        """
        ledger = cls()
        for row in rows.decisions():
            try:
                leaf = Leaf.unpack(row.leaf)
            except LeafFormatError as error:
                raise LogFormatError(f"Record {row.index} does not read: {error}.") from error
            ledger.add(Entry(row.index, leaf.wall_ns, Decision.parse(row.meta or b"")))
        return ledger

    def add(self, entry: Entry) -> None:
        """Take a decision in that was carried out."""
        self.entries.append(entry)
        subject, statement = entry.decision.subject, entry.decision.statement
        self.requests[statement.request] = entry.index
        match statement.action:
            case Action.ERASE if subject is not None:
                self.erased[subject] = entry.index
            case Action.HOLD:
                self.holds.setdefault(subject, {})[statement.ground] = entry.index
            case Action.RELEASE:
                for matters in self.holds.values():
                    matters.pop(statement.ground, None)

    def held_by(self, subject: bytes | None) -> dict[str, int]:
        """Matters that forbid to erase or prune, with the records of their holds.

        Args:
            subject: a subject's id; None for a record about nobody.
        """
        found = dict(self.holds.get(None, {}))
        return found if subject is None else found | self.holds.get(subject, {})

    def has_matter(self, matter: str) -> bool:
        """Whether a hold of this matter is in force."""
        return any(matter in matters for matters in self.holds.values())


def check_decision(index: int, leaf: Leaf, meta: bytes, opening: EpochOpen, report: Report) -> None:
    """Check a hold or shred record: two officers of its epoch have signed what it says.

    Args:
        index: its place.
        leaf: its leaf.
        meta: its metadata.
        opening: what opened its epoch.
        report: takes what is found.

    Raises:
        LogFormatError: if it is no decision.
    """
    decision = Decision.parse(meta)
    try:
        statement = check_approvals(decision.note, opening.signers)
    except ApprovalError as error:
        report.blame(index, f"it was not approved by two officers: {error}")
        return
    if (
        KINDS[statement.action] is not leaf.kind
        or statement.origin != opening.origin
        or UUID(bytes=leaf.event) != statement.request
    ):
        report.blame(index, "it is not what its two officers approved")
    elif statement.action is Action.ERASE and decision.subject is not None:
        report.erased[decision.subject] = index
        report.remarks.append(
            f"record {index}: the contents about one subject were erased on two officers' word, "
            f"{statement.ground}"
        )
