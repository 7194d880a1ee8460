"""What stands around the records: stored tree nodes, grant files, the head file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from audit.errors import NoteFormatError
from audit.grants import grant_name
from audit.merkle import STORED_LEVELS
from audit.note import read_checkpoint
from audit.officers import GROUPS
from audit.payloads import EpochOpen
from audit.report import Report
from audit.rows import Records


def check_strays(
    rows: Records, nodes: Mapping[tuple[int, int], bytes], size: int, report: Report
) -> None:
    """Check that the stored nodes are those of the tree, and that no blob belongs to nothing.

    Args:
        rows: the log's database.
        nodes: hashes of the full subtrees that should be stored.
        size: records that were walked; nodes beyond are a running writer's.
        report: takes what is found.
    """
    missing = dict(nodes)
    for level, position, stored in rows.stored_nodes():
        if level % STORED_LEVELS or level <= 0 or position + 1 > size >> level:
            if (position + 1) << max(level, 0) <= rows.size():
                continue
            report.blame(None, f"a tree node at level {level}, position {position} is foreign")
        elif missing.pop((level, position), stored) != stored:
            report.blame(None, f"{_node(level, position)} was changed")
    for level, position in missing:
        report.blame(None, f"{_node(level, position)} is missing")
    for index in rows.stray_blobs():
        if index < size:
            report.blame(index, "a blob stands under this number, but no record")


def check_grants(
    folder: Path, openings: Iterable[tuple[int, int, EpochOpen]], report: Report
) -> None:
    """Compare the grant files with the grants in the log; missing files can be taken from there.

    Args:
        folder: the log's folder.
        openings: (index, epoch, opening) of each epoch.
        report: takes what is found.
    """
    for index, epoch, opening in openings:
        for group in GROUPS:
            path = folder / "grants" / grant_name(epoch, group)
            if path.is_file() and path.read_bytes() != opening.grants[group]:
                report.blame(None, f"{path.name} is not the grant that record {index} holds")


def check_head(rows: Records, notes: Sequence[str], size: int, report: Report) -> None:
    """Check that the log holds every checkpoint that the head file has seen.

    Args:
        rows: the log's database.
        notes: entries of the head file, in order.
        size: records in the log.
        report: takes what is found.
    """
    if not notes and size:
        report.blame(None, "the head file is empty, but the log is not")
    highest, foreign = 0, None
    for note in notes:
        try:
            seen = read_checkpoint(note).size
        except NoteFormatError as error:
            report.blame(None, f"an entry of the head file is no checkpoint: {error}")
            return
        highest = max(highest, seen)
        if foreign is None and seen <= size and rows.checkpoint(seen) != note:
            foreign = seen
    if highest > size:
        report.blame(
            None,
            f"the head file has seen {highest} records, but the log holds {size}: "
            f"the last {highest - size} are missing",
        )
    if foreign is not None:
        report.blame(None, f"the head file and the log disagree about the first {foreign} records")


def _node(level: int, position: int) -> str:
    first = position << level
    return f"the stored tree node over the records {first} to {first + (1 << level) - 1}"
