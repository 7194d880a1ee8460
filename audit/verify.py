"""Verification: walk the log from its first record and compare all that is stored with all else.

For each record: the leaf reads, stands in its place, is what the next leaf says it is, and its
blobs are what it says they are. For each checkpoint: signed by its epoch's key over the root of the
tree at its size. Then the stored tree nodes, the grant files and the head file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from audit.cosign import Witness
from audit.errors import LogFormatError, NoteFormatError
from audit.export.check import check_export
from audit.export.source import ExportRows
from audit.head import read_head
from audit.note import VerifierKey, read_checkpoint
from audit.outside import check_receipts, check_seen, read_seen
from audit.report import Report
from audit.retention import check_prunes
from audit.rows import FORMAT, Records
from audit.surroundings import check_grants, check_head, check_strays
from audit.walk import Walk

Progress = Callable[[int, int], None]
"""Told now and then how many records are done, and of how many."""


def verify_log(
    rows: Records,
    folder: Path,
    *,
    trusted: VerifierKey | None = None,
    head: Path | None = None,
    seen: Path | None = None,
    witnesses: Sequence[Witness] = (),
    progress: Progress | None = None,
) -> Report:
    """Verify a log, or an export of one; a writer may go on appending to a log meanwhile.

    Args:
        rows: the log's database, or the export.
        folder: of the log or export, for the grant files.
        trusted: verifier key of the first epoch, from outside the log; None takes the log's own.
        head: the head file to compare with, or None.
        seen: checkpoints that were kept outside, or None.
        witnesses: whose word counts; without any, whoever the log names.
        progress: told how far it is.

    Raises:
        OSError: if a file to compare with can not be read.
        NoteFormatError: if `seen` holds no checkpoints.
    """
    report = Report()
    # The head is read first: a running writer adds to it, so later it may know more than we walk.
    kept = None if head is None else list(read_head(head))
    outside = [] if seen is None else read_seen(seen)
    try:
        size, newest = rows.extent()
        report.records = size
        key = _root_of_trust(rows, trusted, report)
        walk = Walk(rows, key, report, size, {read_checkpoint(note).size for note in outside})
        walk.run(progress)
        walk.finish(newest)
        check_strays(rows, walk.nodes, size, report)
        check_prunes(rows, walk.missing, report)
        check_grants(folder, report.openings, report)
        if isinstance(rows, ExportRows):
            check_export(rows, report)
        check_receipts(rows, witnesses, report)
        check_seen(outside, walk.roots, size, witnesses, report)
        if kept is not None:
            check_head(rows, kept, size, report)
    except (sqlite3.Error, LogFormatError) as error:
        report.blame(None, f"the {rows.kind} is damaged: {error}")
    return report


def _root_of_trust(rows: Records, trusted: VerifierKey | None, report: Report) -> VerifierKey:
    """The key to check by: the given one, or the log's own word for it.

    Raises:
        LogFormatError: if neither is there.
    """
    facts = rows.facts()
    stated = facts.get("vkey", "")
    if trusted is None:
        try:
            trusted = VerifierKey.parse(stated)
        except NoteFormatError as error:
            raise LogFormatError("it names no verifier key") from error
        report.remarks.append(
            "the verifier key was taken from the log itself: this shows that nothing was changed "
            "by anyone without the log's keys, not that it is the log you mean. Give --vkey"
        )
    elif stated != str(trusted):
        report.blame(None, f"the log names another verifier key, {stated or 'none'}")
    if facts.get("format") != FORMAT:
        report.blame(
            None,
            f"the log is of the format {facts.get('format')}, and this tool reads {FORMAT}: "
            "check it with the release that wrote it",
        )
    if facts.get("origin") != trusted.name:
        report.blame(None, f"the log calls itself {facts.get('origin')}, not {trusted.name}")
    report.origin, report.vkey = trusted.name, str(trusted)
    return trusted
