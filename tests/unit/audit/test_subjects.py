"""Keys of subjects: what they seal, how they are kept, and what is left when one is erased."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from audit.errors import ErasedError, KeyFileError
from audit.export.make import make_export, whole
from audit.opening import (
    ClosedRecord,
    OpenedRecord,
    epoch_secrets,
    epoch_spans,
    log_name,
    open_epoch,
)
from audit.reader import open_records, open_rows, subject_keys
from audit.report import Verdict
from audit.subject import RecordKeys, bond, handle, record_key
from audit.vault import Vault, kek_path
from audit.verify import verify_log
from audit.writer.subjects import Subjects
from tests.unit.audit.logfolder import LogFolder, append, request


def opened(folder: LogFolder, place: Path | None = None) -> list[OpenedRecord | ClosedRecord]:
    """All records of the log, or of an export of it, opened by both officers."""
    place = place or folder.settings.folder
    with open_records(place) as rows:
        report = verify_log(rows, place)
        assert report.verdict is Verdict.INTACT, report.lines()
        secrets, _ = epoch_secrets(epoch_spans(report.openings, report.records), folder.identities)
        keys: RecordKeys = subject_keys(rows, place, report.erased)
        return [
            record
            for span in epoch_spans(report.openings, report.records)
            for record in open_epoch(
                rows,
                span,
                secrets[span.number],
                log_name(report.openings[0][2]),
                lambda _: True,
                keys,
            )
        ]


def texts(records: list[OpenedRecord | ClosedRecord]) -> list[str]:
    return [r.content["text"] for r in records if isinstance(r, OpenedRecord) and r.content]


@pytest.fixture
def subjects(tmp_path: Path) -> Subjects:
    found = Subjects(tmp_path)
    found.open(fresh=True)
    return found


@pytest.fixture
def written(folder: LogFolder) -> LogFolder:
    """Two epochs; records about two cases and about none."""
    for epoch in range(2):
        journal = folder.journal()
        append(
            journal,
            request(f"{epoch} one", subject="case 1"),
            request(f"{epoch} two", subject="case 2"),
            request(f"{epoch} none"),
        )
        journal.close()
    return folder


def test_two_officers_read_records_about_subjects(written: LogFolder) -> None:
    records = opened(written)
    assert texts(records) == ["0 one", "0 two", "0 none", "1 one", "1 two", "1 none"]
    about = [r.subject for r in records if isinstance(r, OpenedRecord) and r.content]
    assert about == ["case 1", "case 2", None] * 2


def test_a_subject_has_one_key_over_epochs_and_restarts(written: LogFolder) -> None:
    assert len(Vault(written.settings.folder, {}).load()) == 2


def test_without_the_subjects_keys_only_records_about_nobody_open(written: LogFolder) -> None:
    (written.settings.folder / "keys.db").unlink()
    records = opened(written)
    assert texts(records) == ["0 none", "1 none"]
    closed = [record for record in records if isinstance(record, ClosedRecord)]
    assert len(closed) == 4
    assert "keys.db is not here" in closed[0].reason


def test_bonds_of_one_subject_differ_in_every_record(written: LogFolder) -> None:
    with open_rows(written.settings.folder) as rows:
        blobs = [row.content for row in rows.rows(0, rows.size()) if row.content]
    fronts = {blob[:16] for blob in blobs}
    assert len(fronts) == len(blobs)


def test_files_hold_no_name_and_are_the_writers_own(written: LogFolder) -> None:
    folder = written.settings.folder
    for path in (folder / "keys.db", kek_path(folder, 0)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in folder.rglob("*"):
        assert path.is_dir() or b"case 1" not in path.read_bytes(), path


def test_an_export_opens_without_any_subjects_key_of_its_own(
    written: LogFolder, tmp_path: Path
) -> None:
    vault = Vault(written.settings.folder, {})
    out = tmp_path / "export"
    with open_rows(written.settings.folder) as rows:
        make_export(rows, out, whole(rows), keys=vault)
    assert len(texts(opened(written, out))) == 6
    held = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for ident, key in vault.load().items():
        assert key.hex().encode() not in held
        assert key not in held
        assert ident.hex().encode() not in held


def test_an_export_has_keys_of_the_records_asked_for_only(
    written: LogFolder, tmp_path: Path
) -> None:
    vault = Vault(written.settings.folder, {})
    with open_rows(written.settings.folder) as rows:
        facts = whole(rows)
        part = type(facts)(facts.origin, facts.vkey, facts.size, 0, 3)
        make_export(rows, tmp_path / "part", part, keys=vault)
    (lines,) = (tmp_path / "part" / "subjects").rglob("0*")
    path = next(lines.iterdir()) if lines.is_dir() else lines
    assert [line.split()[0] for line in path.read_text().splitlines()] == ["1", "2"]


def test_a_bond_is_undone_by_the_link_only() -> None:
    link, ident = bytes(range(32)), os.urandom(16)
    hidden = bond(link, ident, 7)
    assert bond(link, hidden, 7) == ident
    assert bond(link, hidden, 8) != ident
    assert bond(bytes(32), hidden, 7) != ident


def test_a_records_key_says_nothing_about_another() -> None:
    key = bytes(range(32))
    assert record_key(key, 1) != record_key(key, 2)
    assert handle(key, "a") != handle(key, "b")


def test_an_erasure_leaves_nothing_of_the_old_bytes_in_any_file(
    subjects: Subjects, tmp_path: Path
) -> None:
    found = subjects.ensure(f"case {number}" for number in range(500))
    with sqlite3.connect(tmp_path / "keys.db") as database:
        wrapped = [key for (key,) in database.execute("SELECT key FROM subjects")]
        ident = found["case 7"].ident
        (handle_of,) = database.execute(
            "SELECT handle FROM subjects WHERE id = ?", (ident,)
        ).fetchone()
    database.close()
    old_kek = kek_path(tmp_path, 0).read_bytes()
    assert (tmp_path / "keys.db-wal").stat().st_size > 0
    subjects.erase([ident])
    raw = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(key in raw for key in wrapped), "all are wrapped anew, none as it was"
    assert ident not in raw
    assert handle_of not in raw
    assert old_kek not in raw
    assert [path.name for path in (tmp_path / "shred").iterdir()] == ["kek-1"]
    subjects.close()


def test_the_others_keys_are_the_same_after_an_erasure(subjects: Subjects) -> None:
    found = subjects.ensure(["a", "b"])
    subjects.erase([found["a"].ident])
    assert subjects.find("a") is None
    assert subjects.find("b") == found["b"]
    assert subjects.ensure(["a"])["a"].key != found["a"].key
    subjects.close()


def test_a_backup_from_before_an_erasure_is_refused(subjects: Subjects, tmp_path: Path) -> None:
    found = subjects.ensure(["a", "b"])
    subjects.close()
    backup = (tmp_path / "keys.db").read_bytes()
    subjects.open(fresh=False)
    subjects.erase([found["a"].ident])
    subjects.close()
    (tmp_path / "keys.db").write_bytes(backup)
    with pytest.raises(KeyFileError, match="dead by design"):
        subjects.open(fresh=False)
    with pytest.raises(KeyFileError):
        Vault(tmp_path, {}).load()


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_in_an_erasure_leaves_a_file_that_opens(
    subjects: Subjects, tmp_path: Path, crash: str
) -> None:
    """The key of the next generation may be there too early, that of the last one too long."""
    found = subjects.ensure(["a", "b"])
    old = kek_path(tmp_path, 0).read_bytes()
    if crash == "after":
        subjects.erase([found["a"].ident])
    subjects.close()
    kek_path(tmp_path, 1 if crash == "before" else 0).write_bytes(old[::-1])
    subjects.open(fresh=False)
    assert subjects.find("b") == found["b"]
    assert len(list((tmp_path / "shred").iterdir())) == 1
    subjects.close()


def test_lost_keys_are_not_made_anew_in_silence(written: LogFolder) -> None:
    folder = written.settings.folder
    (folder / "keys.db").unlink()
    with pytest.raises(KeyFileError, match=r"keys\.db is missing"):
        written.journal()
    kek_path(folder, 0).unlink()
    journal = written.journal()
    append(journal, request("new", subject="case 1"))
    journal.close()
    assert any("subjects" in remark for remark in written.verify().remarks)
    assert texts(opened(written)) == ["0 none", "1 none", "new"]


def test_a_vault_names_the_record_of_the_erasure(written: LogFolder) -> None:
    folder = written.settings.folder
    (first, *_) = Vault(folder, {}).load()
    vault = Vault(folder, dict.fromkeys(Vault(folder, {}).load(), 9))
    with open_rows(folder) as rows:
        (row,) = rows.rows(1, 2)
    with pytest.raises(ErasedError, match="record 9"):
        vault.record_key(1, row.content or b"")
    assert len(first) == 16
