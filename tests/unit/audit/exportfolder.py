"""An export on disk that a test changes, with its list of files mended or not."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

from audit.export.layout import SUMS, ExportFacts, pack_entries, pack_lengths, read_blobs
from audit.export.make import make_export, whole
from audit.leaf import leaf_hash
from audit.note import VerifierKey
from audit.reader import open_records, open_rows, subject_keys
from audit.report import Report
from audit.rows import Row
from audit.verify import verify_log
from tests.unit.audit.logfolder import LogFolder


class Export:
    """A folder with an export.

    Args:
        folder: where it is.
        key: by which it is verified.
    """

    def __init__(self, folder: Path, key: VerifierKey) -> None:
        self.folder = folder
        self.key = key

    @classmethod
    def make(cls, log: LogFolder, folder: Path, facts: ExportFacts | None = None) -> Export:
        with open_rows(log.settings.folder) as rows:
            facts = facts or whole(rows)
            keys = subject_keys(rows, log.settings.folder, {})
            make_export(rows, folder, facts, keys=keys)
        return cls(folder, VerifierKey.parse(facts.vkey))

    def copy(self, folder: Path) -> Export:
        shutil.copytree(self.folder, folder)
        return Export(folder, self.key)

    def verify(self) -> Report:
        with open_records(self.folder) as rows:
            return verify_log(rows, self.folder, trusted=self.key)

    def files(self) -> list[str]:
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file()
        )

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(data)

    def bytes(self) -> dict[str, bytes]:
        return {path: self.read(path) for path in self.files()}

    def mend(self) -> None:
        """List all files anew, as a careful forger would."""
        lines = [
            f"{hashlib.sha256(self.read(path)).hexdigest()}  {path}\n"
            for path in self.files()
            if path != SUMS
        ]
        self.write(SUMS, "".join(lines).encode())

    def rows(self) -> list[Row]:
        with open_records(self.folder) as rows:
            return list(rows.rows(0, rows.size()))

    def put(self, rows: list[Row]) -> None:
        """Store these under the names that the records had, with the list of files to fit."""
        names = {
            kind: next((self.folder / kind).rglob("*.p/*")).relative_to(self.folder).as_posix()
            for kind in ("log/tile/entries", "log/tile/0", "blobs")
        }
        for kind in ("log/tile/entries", "log/tile/0", "blobs"):
            shutil.rmtree(self.folder / kind)
        self.write(names["log/tile/entries"], pack_entries([row.leaf for row in rows]))
        self.write(names["log/tile/0"], b"".join(leaf_hash(row.leaf) for row in rows))
        count = int(names["blobs"].partition(".p/")[2])
        filling = [Row(0, b"", None, None)] * max(0, count - len(rows))
        self.write(names["blobs"], pack_blobs([*rows[:count], *filling]))
        self.mend()


def pack_blobs(rows: list[Row]) -> bytes:
    """A blob bundle as the exporter writes it."""
    table = pack_lengths((len(row.meta or b""), len(row.content or b"")) for row in rows)
    return table + b"".join((row.meta or b"") + (row.content or b"") for row in rows)


def record_of(path: str, data: bytes, place: int, count: int) -> int | None:
    """The record that a byte of a file belongs to, None if it belongs to none.

    Args:
        path: the file, of an export of one tile.
        data: its bytes.
        place: the byte's place.
        count: records of the export.
    """
    if path.startswith("log/tile/entries"):
        return place // 202
    if path.startswith("log/tile/0"):
        return place // 32
    if not path.startswith("blobs"):
        return None
    if place < 8 * count:
        return place // 8
    end = 8 * count
    for index, (meta, content) in enumerate(read_blobs(io.BytesIO(data), count)):
        end += len(meta or b"") + len(content or b"")
        if place < end:
            return index
    return None
