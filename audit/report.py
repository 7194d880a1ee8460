"""What a verification found, in plain words and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

from audit.payloads import EpochOpen, WitnessReceipt

_SHOWN: Final = 10  # problems that are printed in full


class Verdict(IntEnum):
    """The outcome; the value is the exit status."""

    INTACT = 0
    TAMPERED = 1
    UNCOVERED = 2
    UNWITNESSED = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        record: the record that is wrong, or None if it is not a record.
        text: what is wrong with it, a clause.
    """

    record: int | None
    text: str

    def __str__(self) -> str:
        """A line for people."""
        return self.text if self.record is None else f"record {self.record}: {self.text}"


@dataclass(slots=True)
class Report:
    """What was checked and what came out.

    Attributes:
        origin: name of the log.
        vkey: verifier key of the first epoch, by which all was checked.
        records: records in the log.
        covered: records under a valid checkpoint.
        checkpoints: signed checkpoints that were checked.
        first_ns: wall clock of the first record, nanoseconds since 1970.
        last_ns: wall clock of the last.
        problems: what is wrong.
        remarks: what a reader should know though nothing is wrong.
        receipts: (index, word) of each witness, as the log holds them.
        witnessed: records that outside witnesses have seen.
        witness: who saw them last, and when.
        require_witness: whether that is asked for.
        openings: (index, epoch, opening record) of each epoch.
        prunes: (index, wall clock in ns, metadata) of each prune record.
        pruned: contents that were pruned at the end of their terms.
        erased: index of the record of an erasure, by the id of the erased subject.
    """

    origin: str = ""
    vkey: str = ""
    records: int = 0
    covered: int = 0
    checkpoints: int = 0
    first_ns: int = 0
    last_ns: int = 0
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    receipts: list[tuple[int, WitnessReceipt]] = field(default_factory=list)
    witnessed: int = 0
    witness: str = ""
    require_witness: bool = False
    openings: list[tuple[int, int, EpochOpen]] = field(default_factory=list)
    prunes: list[tuple[int, int, bytes]] = field(default_factory=list)
    pruned: int = 0
    erased: dict[bytes, int] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The outcome in one word."""
        if self.problems:
            return Verdict.TAMPERED
        if self.covered < self.records:
            return Verdict.UNCOVERED
        if self.require_witness and not self.witnessed:
            return Verdict.UNWITNESSED
        return Verdict.INTACT

    def blame(self, record: int | None, text: str) -> None:
        """Note a problem; a record is blamed once, for the first thing found."""
        if record is None or all(problem.record != record for problem in self.problems):
            self.problems.append(Problem(record, text))

    def summary(self) -> list[str]:
        """The verdict and what is wrong."""
        lines = [self._headline()]
        lines += [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"  … and {len(self.problems) - _SHOWN} more.")
        return lines

    def lines(self) -> list[str]:
        """The report for people, the verdict first."""
        lines = self.summary()
        lines += [
            f"log          {self.origin or '?'}",
            f"records      {self.records}{self._period()}",
            f"epochs       {len(self.openings)}",
            f"checkpoints  {self.checkpoints}",
            f"witnessed    {self._exposure()}",
            f"key          {self.vkey or '?'}",
        ]
        return lines + [f"remark       {remark}" for remark in self.remarks]

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "verdict": self.verdict.name.lower(),
            "exit_status": int(self.verdict),
            "origin": self.origin,
            "vkey": self.vkey,
            "records": self.records,
            "covered": self.covered,
            "checkpoints": self.checkpoints,
            "epochs": len(self.openings),
            "witnessed": self.witnessed,
            "pruned": self.pruned,
            "erased_subjects": len(self.erased),
            "unseen": self.records - self.witnessed,
            "witness": self.witness,
            "problems": [{"record": p.record, "text": p.text} for p in self.problems],
            "remarks": self.remarks,
        }

    def _headline(self) -> str:
        match self.verdict:
            case Verdict.TAMPERED:
                return "TAMPERED: the log is not what was written. What is wrong:"
            case Verdict.UNCOVERED:
                return (
                    f"NOT COVERED: the records {self.covered} to {self.records - 1} stand under no "
                    "signed checkpoint, so nothing vouches for them. All before them is intact."
                )
            case Verdict.UNWITNESSED:
                return "NOT WITNESSED: the log is intact, but no outside witness has signed it."
            case Verdict.INTACT:
                return f"INTACT: all {self.records} records are what was written, in order."

    def _exposure(self) -> str:
        """How much could be cut off without anybody outside noticing."""
        if not self.witnessed:
            return f"nothing: no outsider has seen any of the {self.records} records"
        return (
            f"{self.witnessed} records, {self.witness}; "
            f"{self.records - self.witnessed} since then seen by no outsider"
        )

    def _period(self) -> str:
        if not self.records or not self.first_ns:
            return ""
        return f", {format_time(self.first_ns)} to {format_time(self.last_ns)}"


def format_time(wall_ns: int) -> str:
    """A wall clock reading for people, in UTC."""
    try:
        when = datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError):
        return f"{wall_ns} ns"
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")
