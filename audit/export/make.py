"""Making an export: file by file in a fixed order, so that it can be broken off and gone on with.

Each finished file is noted with its SHA-256 in `SHA256SUMS.part`, which becomes `SHA256SUMS` at the
end. The same question about the same size of the log gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from audit.errors import ExportError, LogFormatError
from audit.export.layout import (
    CHECKPOINT,
    CHECKPOINTS,
    FACTS,
    SUMS,
    TILE,
    ExportFacts,
    hash_tiles,
    pack_entries,
    pack_lengths,
    tile_path,
    tiles,
)
from audit.export.script import SCRIPT, SCRIPT_NAME
from audit.export.subjects import KIND as SUBJECTS
from audit.export.subjects import subject_lines
from audit.grants import grant_name
from audit.leaf import NO_HASH, Leaf, LeafFlag, LeafType
from audit.note import read_checkpoint
from audit.officers import GROUPS
from audit.onefile import TOOL_NAME
from audit.payloads import EpochOpen, WitnessReceipt
from audit.retention import Prunes
from audit.rows import LogRows, Row
from audit.subject import RecordKeys

_PART: Final = f"{SUMS}.part"
_DIGEST: Final = 64  # hexadecimal digits

Progress = Callable[[int, int], None]
"""Told now and then how many records are exported, and of how many."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export.

    Attributes:
        facts: what it is.
        files: how many files.
        digest: SHA-256 of its SHA256SUMS, in hexadecimal.
        resumed: files that an earlier run had finished.
    """

    facts: ExportFacts
    files: int
    digest: str
    resumed: int


def make_export(
    rows: LogRows,
    folder: Path,
    facts: ExportFacts,
    progress: Progress | None = None,
    *,
    keys: RecordKeys | None = None,
    tool: bytes | None = None,
) -> Exported:
    """Write an export, or go on with one that was broken off.

    Args:
        rows: the log's database.
        folder: where; made if it does not exist, else empty or begun with the same facts.
        facts: what to export; `size` is that of a checkpoint.
        progress: told how far it is.
        keys: of subjects; without them the export's records about subjects open to nobody.
        tool: the officers' tool, to lie beside what it reads; None leaves it out.

    Raises:
        ExportError: if the folder holds something else, or the disk refuses.
        LogFormatError: if the log does not read.
    """
    try:
        with _Ledger(folder, facts) as ledger:
            for path, pieces, done in _files(rows, facts, keys, tool):
                ledger.add(path, pieces)
                if progress is not None and done is not None:
                    progress(done, facts.size)
            digest = ledger.finish()
    except OSError as error:
        raise ExportError(
            f"{folder} can not be written: {error.strerror}. Make room and give the same command "
            "again: it goes on where it stopped."
        ) from error
    return Exported(facts, ledger.count, digest, ledger.resumed)


def begun(folder: Path) -> ExportFacts | None:
    """What an export in this folder is, None if there is none yet.

    Raises:
        ExportError: if the folder holds something else.
    """
    path = folder / FACTS
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise ExportError(f"{folder} holds something else. Give an empty folder.")
        return None
    try:
        return ExportFacts.parse(path.read_text(encoding="utf-8"))
    except (LogFormatError, OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{folder} holds a damaged export: {error}. Remove it.") from error


class _Ledger:
    """The files that are finished, each with its digest."""

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        self._folder = folder
        self.count = 0
        earlier = begun(folder)
        if earlier is not None and earlier != facts:
            raise ExportError(
                f"{folder} holds an export of {earlier.size} records, {earlier.first} to "
                f"{earlier.end - 1} with their blobs. Give another folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
        if earlier is None:
            _write(folder / FACTS, [facts.to_json().encode()])
        part = folder / (SUMS if (folder / SUMS).exists() else _PART)
        self._digests = _read_sums(part)
        self.resumed = len(self._digests)
        self._lines: list[str] = []
        self._part = (folder / _PART).open("w", encoding="ascii")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._part.close()

    def add(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write a file, unless an earlier run has; it is on the disk before it is noted."""
        place = self._folder / path
        digest = self._digests.get(path)
        if digest is None or not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            digest = _write(place, pieces)
        line = f"{digest}  {path}\n"
        self._part.write(line)
        self._part.flush()
        self._lines.append(line)
        self.count += 1

    def finish(self) -> str:
        """Turn the notes into `SHA256SUMS`; returns its own digest."""
        os.fsync(self._part.fileno())
        self._part.close()
        (self._folder / _PART).replace(self._folder / SUMS)
        return hashlib.sha256("".join(self._lines).encode()).hexdigest()


def _files(
    rows: LogRows, facts: ExportFacts, keys: RecordKeys | None, tool: bytes | None
) -> Iterator[tuple[str, Iterable[bytes], int | None]]:
    """Each file of an export: path, its pieces, and how many records are done by then.

    Pieces are made when they are asked for: a file that is there already costs no reading.
    """
    yield FACTS, [facts.to_json().encode()], None
    yield SCRIPT_NAME, [SCRIPT.encode()], None
    if tool is not None:
        yield TOOL_NAME, [tool], None
    sizes, prunes = {facts.size}, Prunes(rows, facts.size)
    for (path, start, end), (blobs, _, _) in zip(
        tiles("log/tile/entries", facts.size), tiles("blobs", facts.size), strict=True
    ):
        packed = rows.leaves(start, end)
        yield path, [pack_entries(packed)], None
        leaves = [Leaf.unpack(leaf) for leaf in packed]
        yield blobs, _bundle(rows, leaves, facts, prunes), end
        if keys is not None and (lines := subject_lines(rows, leaves, facts, keys)):
            yield tile_path(SUBJECTS, start // TILE, end - start), lines, None
        for leaf in leaves:
            yield from _grants(rows, leaf)
            sizes |= _checkpoint_sizes(rows, leaf)
    for path, level, start, end in hash_tiles(facts.size):
        yield path, (rows.node(level, position) for position in range(start, end)), None
    notes = [_note(rows, size) for size in sorted(sizes)]
    yield CHECKPOINTS, [(note + "\n").encode() for note in notes], None
    yield CHECKPOINT, [notes[-1].encode()], None


def _bundle(
    rows: LogRows, leaves: Sequence[Leaf], facts: ExportFacts, prunes: Prunes
) -> Iterator[bytes]:
    """The blobs that go out: sealed ones in the range only, plain ones always."""
    start, end = leaves[0].index, leaves[-1].index + 1
    known = rows.blob_lengths(start, end)
    kept = [
        facts.first <= leaf.index < facts.end or bool(leaf.flags & LeafFlag.PLAIN_META)
        for leaf in leaves
    ]
    lengths = [
        known.get(leaf.index, (0, 0)) if keep else (0, 0)
        for leaf, keep in zip(leaves, kept, strict=True)
    ]
    yield pack_lengths(lengths)
    for leaf, keep, expected in zip(leaves, kept, lengths, strict=True):
        if keep:
            row = _row(rows, leaf.index)
            _check_there(row, leaf, expected, prunes)
            yield (row.meta or b"") + (row.content or b"")


def _check_there(row: Row, leaf: Leaf, expected: tuple[int, int], prunes: Prunes) -> None:
    """Check that no content was pruned beside the export, which then would not verify."""
    gone = leaf.content_hash != NO_HASH and not row.content
    if (gone and leaf.index not in prunes) or expected[1] != len(row.content or b""):
        raise ExportError(
            "Contents that belong into this export were pruned since it was begun, because their "
            "term was over. Remove its folder and start again."
        )


def _row(rows: LogRows, index: int) -> Row:
    (row,) = rows.rows(index, index + 1)
    return row


def _grants(rows: LogRows, leaf: Leaf) -> Iterator[tuple[str, Iterable[bytes], None]]:
    if leaf.kind is LeafType.EPOCH_OPEN:
        opening = EpochOpen.parse(_row(rows, leaf.index).meta or b"")
        for group in GROUPS:
            yield f"grants/{grant_name(leaf.epoch, group)}", [opening.grants[group]], None


def _checkpoint_sizes(rows: LogRows, leaf: Leaf) -> set[int]:
    """Checkpoints that a verifier needs: each epoch's last, and those that witnesses saw."""
    if leaf.kind is LeafType.EPOCH_OPEN:
        return {leaf.index} - {0}
    if leaf.kind is LeafType.WITNESS:
        receipt = WitnessReceipt.parse(_row(rows, leaf.index).meta or b"")
        return {read_checkpoint(receipt.note).size}
    return set()


def _note(rows: LogRows, size: int) -> str:
    note = rows.checkpoint(size)
    if note is None:
        raise LogFormatError(f"The log has no checkpoint at size {size}. Verify it.")
    return note


def _read_sums(path: Path) -> dict[str, str]:
    """The whole lines of a ledger; a torn last one is left out."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
    return {line[_DIGEST + 2 :]: line[:_DIGEST] for line in lines}


def _write(path: Path, pieces: Iterable[bytes]) -> str:
    """Write a file, all of it or nothing; returns its SHA-256 in hexadecimal."""
    fresh, digest = path.with_name(path.name + ".new"), hashlib.sha256()
    with fresh.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return digest.hexdigest()


def whole(rows: LogRows) -> ExportFacts:
    """The facts of an export of everything up to the newest checkpoint.

    Raises:
        LogFormatError: if the log has none.
    """
    newest = rows.last_checkpoint()
    if newest is None:
        raise LogFormatError("The log has no checkpoint yet.")
    said = rows.facts()
    return ExportFacts(said["origin"], said["vkey"], newest[0], 0, newest[0])


def between(rows: LogRows, facts: ExportFacts, since: int | None, until: int | None) -> ExportFacts:
    """Narrow an export to the records of a time; the leaves of all others stay in it.

    Args:
        rows: the log's database.
        facts: of the whole log.
        since: first moment, nanoseconds since 1970, or None.
        until: moment before which it ends, or None.
    """
    first, end = facts.size, 0
    for start in range(0, facts.size, TILE):
        for packed in rows.leaves(start, min(start + TILE, facts.size)):
            leaf = Leaf.unpack(packed)
            if (since or 0) <= leaf.wall_ns and (until is None or leaf.wall_ns < until):
                first, end = min(first, leaf.index), leaf.index + 1
    first = min(first, end)
    return ExportFacts(facts.origin, facts.vkey, facts.size, first, end)
