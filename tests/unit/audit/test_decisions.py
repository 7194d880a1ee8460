"""Erasures and holds: two officers decide, the writer does it, the log tells for ever."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.approval import EVERYTHING, MATTER, Action, Request, make_request
from audit.decisions import Ledger
from audit.errors import KeyFileError, RecordRefusedError
from audit.export.make import make_export, whole
from audit.leaf import Leaf, LeafFlag
from audit.opening import ClosedRecord, OpenedRecord
from audit.reader import open_rows
from audit.report import Verdict
from audit.vault import Vault, kek_path
from audit.writer.custody import Approved
from audit.writer.journal import Journal
from tests.unit.audit.logcopy import Copy
from tests.unit.audit.logfolder import ORIGIN, LogFolder, append, request
from tests.unit.audit.test_subjects import opened, texts


def ask(
    folder: LogFolder,
    action: Action,
    about: str,
    ground: str,
    *,
    subject: bool = True,
    origin: str = ORIGIN,
) -> Request:
    """A request that both officers have signed, at the log's time."""
    now = datetime.fromtimestamp(folder.clock.wall / 1e9, UTC)
    asked = make_request(origin, action, about, ground, subject=subject, now=now)
    return asked.signed(folder.compliance).signed(folder.security)


def decide(journal: Journal, asked: Request) -> int:
    done = journal.decide(Approved(asked.note, asked.subject, asked.salt))
    journal.write_head(done.notes)
    return journal.standing.size - 1


def erase(folder: LogFolder, journal: Journal, name: str) -> int:
    return decide(journal, ask(folder, Action.ERASE, name, "objection"))


@pytest.fixture
def journal(folder: LogFolder) -> Journal:
    """A running log with records about two cases, in two epochs."""
    first = folder.journal()
    append(first, request("old one", subject="case 1"), request("old two", subject="case 2"))
    first.close()
    journal = folder.journal()
    append(journal, request("one", subject="case 1"), request("two", subject="case 2"))
    append(journal, request("none"))
    return journal


def test_an_erased_subject_is_unreadable_to_both_officers_and_the_log_intact(
    folder: LogFolder, journal: Journal
) -> None:
    index = erase(folder, journal, "case 1")
    journal.close()
    report = folder.verify()
    assert report.verdict is Verdict.INTACT
    assert any(f"record {index}: the contents about one subject" in r for r in report.remarks)
    records = opened(folder)
    assert texts(records) == ["old two", "two", "none"]
    gone = [r for r in records if isinstance(r, OpenedRecord) and r.gone]
    assert len(gone) == 2
    assert f"record {index}" in gone[0].gone
    assert gone[0].meta["meta"]["task"] == "triage", "metadata stay"
    assert not [r for r in records if isinstance(r, ClosedRecord)]


def test_the_ledger_names_no_person(folder: LogFolder, journal: Journal) -> None:
    erase(folder, journal, "case 1")
    journal.close()
    with open_rows(folder.settings.folder) as rows:
        ledger = Ledger.read(rows)
        held = b"".join((row.meta or b"") for row in rows.decisions())
    (entry,) = ledger.entries
    assert entry.decision.statement.ground == "objection"
    assert b"case 1" not in held
    for path in folder.root.rglob("*"):
        assert path.is_dir() or b"case 1" not in path.read_bytes(), path


def test_a_subject_may_come_again_after_its_erasure(folder: LogFolder, journal: Journal) -> None:
    erase(folder, journal, "case 1")
    append(journal, request("new one", subject="case 1"))
    journal.close()
    assert texts(opened(folder)) == ["old two", "two", "none", "new one"]


@pytest.mark.parametrize("who", ["compliance", "security"])
def test_one_officer_erases_nothing(folder: LogFolder, journal: Journal, who: str) -> None:
    asked = ask(folder, Action.ERASE, "case 1", "objection")
    alone = Request(asked.statement, (), asked.subject, asked.salt)
    alone = alone.signed(folder.compliance if who == "compliance" else folder.security)
    with pytest.raises(RecordRefusedError, match="No officer of the group"):
        decide(journal, alone)
    journal.close()
    assert len(texts(opened(folder))) == 5


def test_a_request_is_carried_out_once(folder: LogFolder, journal: Journal) -> None:
    asked = ask(folder, Action.ERASE, "case 1", "objection")
    index = decide(journal, asked)
    append(journal, request("new one", subject="case 1"))
    with pytest.raises(RecordRefusedError, match=f"carried out already: record {index}"):
        decide(journal, asked)
    journal.close()


def test_a_request_of_another_log_or_time_or_name_is_refused(
    folder: LogFolder, journal: Journal
) -> None:
    other = ask(folder, Action.ERASE, "case 1", "objection", origin="other/audit")
    with pytest.raises(RecordRefusedError, match="made for the log other/audit"):
        decide(journal, other)
    asked = ask(folder, Action.ERASE, "case 1", "objection")
    swapped = Request(asked.statement, asked.lines, "case 2", asked.salt)
    with pytest.raises(RecordRefusedError, match="another subject"):
        decide(journal, swapped)
    with pytest.raises(RecordRefusedError, match="no contents about this subject"):
        erase(folder, journal, "Case 1")
    folder.clock.advance(31 * 86400)
    with pytest.raises(RecordRefusedError, match="counts for 30 days"):
        decide(journal, asked)
    journal.close()


@pytest.mark.parametrize("everything", [False, True])
def test_a_hold_blocks_the_erasure_until_two_officers_release_it(
    folder: LogFolder, journal: Journal, everything: bool
) -> None:
    about = EVERYTHING if everything else "case 1"
    held = ask(folder, Action.HOLD, about, "LH-2026-7", subject=not everything)
    index = decide(journal, held)
    with pytest.raises(RecordRefusedError, match=rf"LH-2026-7 \(record {index}\)"):
        erase(folder, journal, "case 1")
    journal.release()
    journal = folder.journal()
    with pytest.raises(RecordRefusedError, match="legal hold"):
        erase(folder, journal, "case 1")
    decide(journal, ask(folder, Action.RELEASE, MATTER, "LH-2026-7", subject=False))
    erase(folder, journal, "case 1")
    journal.close()
    assert folder.verify().verdict is Verdict.INTACT
    assert texts(opened(folder)) == ["old two", "two", "none"]


def test_a_hold_on_one_subject_leaves_others_alone(folder: LogFolder, journal: Journal) -> None:
    decide(journal, ask(folder, Action.HOLD, "case 1", "LH-1"))
    erase(folder, journal, "case 2")
    append(journal, request("held", subject="case 1"), request("free", subject="case 3"))
    journal.close()
    with open_rows(folder.settings.folder) as rows:
        flags = [Leaf.unpack(row.leaf).flags & LeafFlag.HOLD for row in rows.rows(0, rows.size())]
    assert flags.count(LeafFlag.HOLD) == 1


def test_a_hold_on_a_subject_that_is_not_known_yet_counts_when_it_comes(
    folder: LogFolder, journal: Journal
) -> None:
    decide(journal, ask(folder, Action.HOLD, "case 9", "LH-1"))
    append(journal, request("nine", subject="case 9"))
    with pytest.raises(RecordRefusedError, match="legal hold"):
        erase(folder, journal, "case 9")
    journal.close()


def test_two_matters_hold_until_both_are_released(folder: LogFolder, journal: Journal) -> None:
    for matter in ("LH-1", "LH-2"):
        decide(journal, ask(folder, Action.HOLD, "case 1", matter))
    decide(journal, ask(folder, Action.RELEASE, MATTER, "LH-1", subject=False))
    with pytest.raises(RecordRefusedError, match="LH-2"):
        erase(folder, journal, "case 1")
    with pytest.raises(RecordRefusedError, match="no hold of the matter LH-1"):
        decide(journal, ask(folder, Action.RELEASE, MATTER, "LH-1", subject=False))
    journal.close()


def test_keys_that_come_back_are_erased_again_before_anything_is_served(
    folder: LogFolder, journal: Journal
) -> None:
    """A machine image older than the erasure, or a writer that was killed between the two."""
    log = folder.settings.folder
    image = folder.root / "image"
    shutil.copytree(log / "shred", image / "shred")
    append(journal, request("three", subject="case 3"))
    for name in ("keys.db", "keys.db-wal"):
        shutil.copy(log / name, image / name)
    erase(folder, journal, "case 1")
    journal.close()
    shutil.rmtree(log / "shred")
    for path in log.glob("keys.db*"):
        path.unlink()
    shutil.copytree(image, log, dirs_exist_ok=True)
    assert len(Vault(log, {}).load()) == 3
    journal = folder.journal()
    assert len(Vault(log, {}).load()) == 2
    assert not kek_path(log, 0).exists()
    journal.close()
    assert any("had come back" in remark for remark in folder.verify().remarks)
    assert texts(opened(folder)) == ["old two", "two", "none", "three"]


def test_an_old_copy_of_the_keys_alone_is_refused(folder: LogFolder, journal: Journal) -> None:
    path = folder.settings.folder / "keys.db"
    journal.release()
    backup = path.read_bytes()
    journal = folder.journal()
    erase(folder, journal, "case 1")
    journal.close()
    path.write_bytes(backup)
    with pytest.raises(KeyFileError, match="dead by design"):
        folder.journal()


def test_exports_made_after_an_erasure_say_so_and_those_before_still_open(
    folder: LogFolder, journal: Journal, tmp_path: Path
) -> None:
    log = folder.settings.folder

    def export(name: str) -> Path:
        with open_rows(log) as rows:
            keys = Vault(log, Ledger.read(rows).erased)
            make_export(rows, tmp_path / name, whole(rows), keys=keys)
        return tmp_path / name

    before = export("before")
    erase(folder, journal, "case 1")
    journal.close()
    records = opened(folder, export("after"))
    assert texts(records) == ["old two", "two", "none"]
    gone = [r.gone for r in records if isinstance(r, OpenedRecord) and r.gone]
    assert len(gone) == 2
    assert "erased" in gone[0]
    assert len(texts(opened(folder, before))) == 5


def test_a_decision_that_a_thief_of_the_writer_invents_is_named(
    folder: LogFolder, journal: Journal
) -> None:
    """Who has the writer's keys can append, but not in the officers' name."""
    index = erase(folder, journal, "case 1")
    journal.close()
    copy = Copy(folder)
    meta = copy.column("blobs", "meta")[index]
    for old, new in ((b"objection", b"unlawful "), (b'"note":"', b'"note":"x')):
        copy.put("blobs", "meta", index, meta.replace(old, new))
        assert index in {problem.record for problem in copy.verify().problems}
    copy.put("blobs", "meta", index, meta)
    assert copy.verify().verdict is Verdict.INTACT


def test_a_decision_without_its_officers_word_is_tampering(
    folder: LogFolder, journal: Journal
) -> None:
    asked = ask(folder, Action.HOLD, "case 1", "LH-1")
    alone = Request(asked.statement, asked.lines[:1], asked.subject, asked.salt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("audit.writer.custody.check_approvals", lambda *_: asked.statement)
        index = decide(journal, alone)
    journal.close()
    report = folder.verify()
    assert report.verdict is Verdict.TAMPERED
    assert [problem.record for problem in report.problems] == [index]
    assert "not approved by two officers" in report.problems[0].text
