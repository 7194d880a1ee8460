"""Taking a witness's word into the log."""

from __future__ import annotations

from collections.abc import Sequence

from audit.cosign import Witness
from audit.errors import NoteFormatError, NoteSignatureError, ReadOnlyError, RecordRefusedError
from audit.note import read_checkpoint, signature_line, split_note
from audit.payloads import WitnessReceipt
from audit.rows import LogRows


def check_word(
    rows: LogRows, size: int, witnesses: Sequence[Witness], note: str
) -> tuple[WitnessReceipt, int, int]:
    """Check a cosigned checkpoint against the log.

    Args:
        rows: the log's database.
        size: records in the log.
        witnesses: whose word the log takes.
        note: the checkpoint with a witness's line.

    Returns:
        The receipt, the size that was seen, and when, in seconds since 1970.

    Raises:
        RecordRefusedError: if it is no word of a known witness about this log.
        ReadOnlyError: if the witness has seen more than the log holds, or something else.
    """
    try:
        seen = read_checkpoint(note)
        witness, when = _signer(witnesses, note)
    except (NoteFormatError, NoteSignatureError) as error:
        raise RecordRefusedError(f"This is not the word of a witness: {error}.") from error
    if seen.size > size:
        raise ReadOnlyError(
            f"ROLLED BACK: the witness {witness.name} has seen {seen.size} records, but the log "
            f"holds {size}: {seen.size - size} are missing. Stop the writer, keep everything as "
            "evidence, and bring back the newest audit.db with its -wal file."
        )
    own = rows.checkpoint(seen.size)
    if own is None or split_note(own)[0] != split_note(note)[0]:
        raise ReadOnlyError(
            f"FORKED: the witness {witness.name} has seen other records than the log holds among "
            f"its first {seen.size}. Stop the writer and keep everything as evidence."
        )
    return WitnessReceipt(witness, _with_line_of(witness, own, note)), seen.size, when


def _signer(witnesses: Sequence[Witness], note: str) -> tuple[Witness, int]:
    known = {(witness.name, witness.key_id): witness for witness in witnesses}
    for name, raw in split_note(note)[1]:
        witness = known.get((name, raw[:4]))
        if witness is not None:
            return witness, witness.seen_at(note)
    raise NoteSignatureError(
        "no witness of officers.json has signed it; add one with "
        "cloister-audit keygen --witness … --officers officers.json"
    )


def _with_line_of(witness: Witness, own: str, note: str) -> str:
    """The log's own checkpoint and this one line of the note: nothing that is not checked."""
    for name, raw in split_note(note)[1]:
        if name == witness.name and raw[:4] == witness.key_id:
            return own + signature_line(name, raw)
    raise NoteSignatureError(f"it bears no signature of the witness {witness.name}")
