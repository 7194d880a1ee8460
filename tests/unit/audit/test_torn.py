"""A write-ahead log that a crash left torn at any byte: what was acknowledged is there.

The database is written batch by batch; after each, the length of the write-ahead log and the head
are noted. Then the log is cut at every 101st byte, as a power cut could, with the head that a
writer would have left by then.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.head import read_head
from audit.note import read_checkpoint
from audit.reader import open_rows
from audit.report import Verdict
from audit.verify import verify_log
from tests.unit.audit.logfolder import LogFolder, append, make_folder, request

BATCHES = 7
STEP = 101  # bytes
REOPENED = 20  # every so many cuts the writer goes on, too


@dataclass(frozen=True)
class Torn:
    """A log as it lay on the disk while it was written.

    Attributes:
        folder: the log; its write-ahead log is whole.
        acknowledged: length of the write-ahead log, records and head after each batch.
    """

    folder: LogFolder
    acknowledged: list[tuple[int, int, bytes]]

    @property
    def wal(self) -> bytes:
        return (self.folder.settings.folder / "audit.db-wal").read_bytes()

    def cut(self, place: int) -> int:
        """Cut the write-ahead log, put the head of then in place; returns what must be there."""
        known = [found for found in self.acknowledged if found[0] <= place]
        _, records, head = known[-1] if known else (0, 0, b"")
        wal = self.folder.settings.folder / "audit.db-wal"
        wal.write_bytes(wal.read_bytes()[:place])
        wal.with_name("audit.db-shm").unlink(missing_ok=True)
        self.folder.settings.head.write_bytes(head)
        return records


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Torn:
    root = tmp_path_factory.mktemp("torn")
    folder = make_folder(root / "one")
    journal = folder.journal()
    wal, head = folder.settings.folder / "audit.db-wal", folder.settings.head
    found = [(wal.stat().st_size, journal.standing.size, head.read_bytes())]
    for number in range(BATCHES):
        append(journal, request(f"a {number}", kind="admin"), request("b" * 900, kind="admin"))
        found.append((wal.stat().st_size, journal.standing.size, head.read_bytes()))
    shutil.copytree(folder.root, root / "two")
    journal.release()
    crashed = LogFolder(root / "two", folder.compliance, folder.security, folder.clock)
    return Torn(crashed, found)


def again(written: Torn, root: Path) -> Torn:
    shutil.copytree(written.folder.root, root, dirs_exist_ok=True)
    old = written.folder
    return Torn(LogFolder(root, old.compliance, old.security, old.clock), written.acknowledged)


def test_every_cut_leaves_a_valid_prefix_with_all_that_was_acknowledged(
    written: Torn, tmp_path: Path
) -> None:
    first = written.acknowledged[0][0]
    cuts = range(first, len(written.wal) + 1, STEP)
    assert len(cuts) > 1000
    for number, place in enumerate(cuts):
        torn = again(written, tmp_path / "log")
        records = torn.cut(place)
        if number % REOPENED == 0:
            journal = torn.folder.journal()
            append(journal, request("goes on", kind="admin"))
            journal.close()
            report = torn.folder.verify()
            assert report.verdict is Verdict.INTACT, (place, report.problems)
            assert report.records >= records + 3
            shutil.rmtree(tmp_path / "log")
            continue
        with open_rows(torn.folder.settings.folder) as rows:
            report = verify_log(rows, torn.folder.settings.folder)
        assert report.verdict is Verdict.INTACT, (place, report.problems)
        assert report.records >= records, place


def test_a_cut_that_loses_what_the_head_has_seen_is_refused(written: Torn, tmp_path: Path) -> None:
    torn = again(written, tmp_path / "log")
    head = written.acknowledged[-1][2]
    torn.cut(written.acknowledged[2][0])
    torn.folder.settings.head.write_bytes(head)
    with pytest.raises(Exception, match="are missing"):
        torn.folder.journal()
    seen = [read_checkpoint(note).size for note in read_head(torn.folder.settings.head)]
    assert max(seen) == written.acknowledged[-1][1]
