"""What was seen of a log from outside: witnesses' words in it, and checkpoints kept elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.cosign import Witness, cosigners
from audit.errors import NoteFormatError, NoteSignatureError
from audit.head import split_notes
from audit.note import Checkpoint, read_checkpoint, split_note
from audit.payloads import WitnessReceipt
from audit.report import Report, format_time
from audit.rows import LogRows, Records
from audit.syslog import parse_line


@dataclass(frozen=True, slots=True)
class Word:
    """The newest word of a witness that a log holds.

    Attributes:
        witness: his name.
        size: records that he has seen.
        when: seconds since 1970.
    """

    witness: str
    size: int
    when: int


def last_word(rows: LogRows) -> Word | None:
    """The newest word of a witness, None if there is none.

    Raises:
        LogFormatError, NoteFormatError, NoteSignatureError: if the record holds something else.
    """
    row = rows.last_witnessed()
    if row is None:
        return None
    receipt = WitnessReceipt.parse(row.meta or b"")
    when = receipt.witness.seen_at(receipt.note)
    return Word(receipt.witness.name, read_checkpoint(receipt.note).size, when)


def read_seen(path: Path) -> list[str]:
    """Checkpoints that were kept outside: signed notes, or lines of a log host.

    Raises:
        OSError: if the file can not be read.
        NoteFormatError: if it holds no checkpoint.
    """
    data = path.read_bytes()
    lines = [parse_line(line) for line in data.decode("utf-8", "replace").splitlines()]
    notes = [note for note in lines if note is not None]
    notes = notes or list(split_notes(data.rstrip(b"\n") + b"\n\n"))
    if not notes:
        raise NoteFormatError(
            f"{path} holds no checkpoint. Give a signed note or lines of a log host."
        )
    for note in notes:
        read_checkpoint(note)
    return notes


def check_receipts(rows: Records, witnesses: Sequence[Witness], report: Report) -> None:
    """Check the words of witnesses that the log holds, and note how far they reach.

    Args:
        rows: the log's database.
        witnesses: whose word counts, from outside the log; without any, whoever the log names.
        report: takes what is found.
    """
    for index, receipt in report.receipts:
        try:
            _check_receipt(rows, index, receipt, witnesses, report)
        except (NoteFormatError, NoteSignatureError) as error:
            report.blame(index, f"it is not the word of a witness: {error}")
    if report.witnessed and not witnesses:
        report.remarks.append(
            "the witnesses' keys were taken from the log itself. Give --witness with each vkey "
            "that you know to be a witness's"
        )


def check_seen(
    notes: Sequence[str],
    roots: Mapping[int, bytes],
    size: int,
    witnesses: Sequence[Witness],
    report: Report,
) -> None:
    """Compare the log with checkpoints that were kept outside.

    Args:
        notes: the checkpoints.
        roots: of the log, at their sizes.
        size: records in the log.
        witnesses: whose signatures are named.
        report: takes what is found.
    """
    for note in notes:
        seen = read_checkpoint(note)
        if seen.origin != report.origin:
            report.blame(None, f"a checkpoint kept outside is of another log, {seen.origin}")
        elif seen.size > size:
            report.blame(
                None,
                f"ROLLED BACK: a checkpoint kept outside has seen {seen.size} records, but the "
                f"log holds {size}: the last {seen.size - size} are missing",
            )
        elif roots.get(seen.size) != seen.root:
            report.blame(
                None, f"the first {seen.size} records are not those that were seen outside"
            )
        else:
            _note_seen(note, seen, witnesses, report)


def _note_seen(note: str, seen: Checkpoint, witnesses: Sequence[Witness], report: Report) -> None:
    by = "kept outside"
    for witness in witnesses:
        if witness.name in cosigners(note):
            by = _said(witness, witness.seen_at(note))
    if seen.size >= report.witnessed:
        report.witnessed, report.witness = seen.size, by


def _check_receipt(
    rows: Records,
    index: int,
    receipt: WitnessReceipt,
    witnesses: Sequence[Witness],
    report: Report,
) -> None:
    seen = read_checkpoint(receipt.note)
    when = receipt.witness.seen_at(receipt.note)
    own = rows.checkpoint(seen.size)
    if seen.size > index or own is None or split_note(own)[0] != split_note(receipt.note)[0]:
        report.blame(index, f"the witness {receipt.witness.name} has seen another log")
    elif (not witnesses or receipt.witness in witnesses) and seen.size >= report.witnessed:
        report.witnessed, report.witness = seen.size, _said(receipt.witness, when)


def _said(witness: Witness, when: int) -> str:
    return f"by {witness.name} on {format_time(when * 1_000_000_000)}"
