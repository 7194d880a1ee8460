"""What an export has beside the records: the list of its files, tiles, and what it says it is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from audit.errors import LogFormatError
from audit.export.layout import (
    ENTRY_SIZE,
    FACTS,
    SUMS,
    blobs_end,
    hash_tiles,
    tiles,
    unpack_entries,
)
from audit.export.source import ExportRows
from audit.leaf import leaf_hash
from audit.report import Report

_DIGEST: Final = 64  # hexadecimal digits
_HASH: Final = 32  # bytes


def check_export(export: ExportRows, report: Report) -> None:
    """Check all of an export that the walk through its records has not.

    Args:
        export: the export.
        report: of the walk; takes what is found.
    """
    said, size = export.export(), export.size()
    if said.size != size:
        report.blame(None, f"{FACTS} says {said.size} records, the newest checkpoint {size}")
    _check_bundles(export, size, report)
    _check_sums(export, report)
    if (said.first, said.end) != (0, size):
        report.remarks.append(
            f"this export has the sealed blobs of the records {said.first} to {said.end - 1}; "
            "those of all others were left out"
        )


def _check_bundles(export: ExportRows, size: int, report: Report) -> None:
    """Compare the lowest tiles with the entries, and see that no bundle holds more than it says."""
    leaf_tiles = [path for path, level, _, _ in hash_tiles(size) if level == 0]
    bundles = zip(leaf_tiles, tiles("log/tile/entries", size), tiles("blobs", size), strict=True)
    for tile, (entries, start, end), (blobs, _, _) in bundles:
        hashes, packed = export.read(tile), export.read(entries)
        for place, leaf in enumerate(unpack_entries(packed, end - start)):
            if hashes[place * _HASH : (place + 1) * _HASH] != leaf_hash(leaf):
                report.blame(start + place, f"its hash in {tile} is another")
        with export.open(blobs) as file:
            sizes = len(hashes), len(packed), os.fstat(file.fileno()).st_size
            expected = blobs_end(file, end - start)
        if sizes != ((end - start) * _HASH, (end - start) * ENTRY_SIZE, expected):
            report.blame(None, f"{tile}, {entries} or {blobs} holds more or less than it should")


def _check_sums(export: ExportRows, report: Report) -> None:
    """Check every file by the list, and that there is no other."""
    listed: set[str] = set()
    lines = export.read(SUMS).decode("utf-8", "replace").split("\n")
    if lines.pop():
        report.blame(None, f"{SUMS} is cut")
    for line in lines:
        digest, path = line[:_DIGEST], line[_DIGEST + 2 :]
        if line[_DIGEST : _DIGEST + 2] != "  " or path in listed or not _inside(path):
            report.blame(None, f"a line of {SUMS} is malformed or stands twice")
            continue
        listed.add(path)
        try:
            with export.open(path) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != digest:
                report.blame(None, f"{path} is not what {SUMS} says")
        except LogFormatError as error:
            report.blame(None, str(error))
    for path in sorted(_files(export.folder) - listed - {SUMS}):
        report.blame(None, f"{path} stands in the export, but not in {SUMS}")


def _inside(path: str) -> bool:
    parts = path.split("/")
    return bool(path) and "\0" not in path and not set(parts) & {"", ".", ".."}


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
