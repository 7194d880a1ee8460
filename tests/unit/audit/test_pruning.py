"""Retention: contents go when their term is over, hashes and proofs stay, a hold keeps them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.approval import EVERYTHING, MATTER, Action
from audit.decisions import Ledger
from audit.errors import ExportError, LogFormatError, RecordRefusedError
from audit.export.make import make_export, whole
from audit.leaf import Leaf
from audit.opening import OpenedRecord
from audit.reader import open_records, open_rows
from audit.report import Report, Verdict
from audit.retention import Pruned, Ranges, Retention, check_prunes
from audit.vault import Vault
from audit.verify import verify_log
from audit.writer.journal import Journal
from audit.writer.request import parse_append
from tests.unit.audit.logcopy import Copy
from tests.unit.audit.logfolder import LogFolder, append, request
from tests.unit.audit.test_decisions import ask, decide
from tests.unit.audit.test_subjects import opened, texts

DAY = 86_400
KEPT = {Retention.SHORT: 1, Retention.STANDARD: 10}


@pytest.fixture
def journal(folder: LogFolder) -> Journal:
    """A log whose short contents are kept for one day, and standard ones for ten."""
    journal = folder.journal(retention=KEPT)
    for number in range(3):
        append(
            journal,
            request(f"short {number}", retention="short"),
            request(f"standard {number}", subject=f"case {number}"),
            request(f"long {number}", retention="long"),
            request(f"ever {number}", retention="permanent"),
        )
    return journal


def prune(folder: LogFolder, journal: Journal, days: float) -> int:
    """Let days go by and prune until nothing is due; returns how many prune records came."""
    folder.clock.advance(days * DAY)
    count = 0
    while journal.prune_is_due():
        done = journal.prune()
        journal.write_head(done.notes)
        count += bool(done.notes)
    return count


def test_contents_go_by_their_class_and_the_log_stays_intact(
    folder: LogFolder, journal: Journal
) -> None:
    assert prune(folder, journal, 0.5) == 0
    assert prune(folder, journal, 1) == 1
    assert prune(folder, journal, 10) == 1
    journal.close()
    report = folder.verify()
    assert (report.verdict, report.pruned) == (Verdict.INTACT, 6)
    assert any("6 contents were pruned at the end of their terms" in r for r in report.remarks)
    records = opened(folder)
    assert texts(records) == [f"{kind} {n}" for n in range(3) for kind in ("long", "ever")]
    gone = [record for record in records if isinstance(record, OpenedRecord) and record.gone]
    assert len(gone) == 6
    assert "end of its term" in gone[0].gone
    assert gone[0].meta["meta"]["task"] == "triage"


def test_without_a_term_nothing_is_ever_pruned(folder: LogFolder) -> None:
    journal = folder.journal()
    append(journal, request("kept", retention="short"))
    assert prune(folder, journal, 36_500) == 0
    journal.close()
    assert texts(opened(folder)) == ["kept"]


def test_nothing_of_a_pruned_content_is_left_in_the_files(
    folder: LogFolder, journal: Journal
) -> None:
    with open_rows(folder.settings.folder) as rows:
        (row,) = rows.rows(1, 2)
    content = row.content or b""
    assert _raw(folder).count(content[:40])
    prune(folder, journal, 2)
    assert not _raw(folder).count(content[:40])
    journal.close()


def _raw(folder: LogFolder) -> bytes:
    return b"".join(path.read_bytes() for path in folder.settings.folder.glob("audit.db*"))


@pytest.mark.parametrize("everything", [False, True])
def test_a_hold_keeps_contents_beyond_their_term(
    folder: LogFolder, journal: Journal, everything: bool
) -> None:
    about = EVERYTHING if everything else "case 1"
    decide(journal, ask(folder, Action.HOLD, about, "LH-1", subject=not everything))
    prune(folder, journal, 11)
    kept = texts(opened(folder))
    assert "standard 1" in kept
    assert ("standard 0" in kept) == everything
    decide(journal, ask(folder, Action.RELEASE, MATTER, "LH-1", subject=False))
    prune(folder, journal, 1)
    journal.close()
    assert not [text for text in texts(opened(folder)) if text.startswith("standard")]
    assert folder.verify().verdict is Verdict.INTACT


def test_many_records_go_in_several_steps(folder: LogFolder) -> None:
    journal = folder.journal(retention=KEPT)
    for _ in range(5):
        append(journal, *(request("x", retention="short") for _ in range(500)))
    append(journal, request("kept", retention="permanent"))
    assert prune(folder, journal, 2) == 3
    journal.close()
    report = folder.verify()
    assert (report.verdict, report.pruned) == (Verdict.INTACT, 2500)
    assert texts(opened(folder)) == ["kept"]


def test_exports_before_and_after_a_pruning_verify(
    folder: LogFolder, journal: Journal, tmp_path: Path
) -> None:
    def export(name: str) -> Path:
        log = folder.settings.folder
        with open_rows(log) as rows:
            keys = Vault(log, Ledger.read(rows).erased)
            make_export(rows, tmp_path / name, whole(rows), keys=keys)
        return tmp_path / name

    before = export("before")
    prune(folder, journal, 11)
    after = export("after")
    journal.close()
    assert len(texts(opened(folder, before))) == 12
    assert len(texts(opened(folder, after))) == 6
    assert _verified(after).pruned == 6


def _verified(place: Path) -> Report:
    with open_records(place) as rows:
        return verify_log(rows, place)


def test_an_export_that_a_pruning_overtakes_says_so(
    folder: LogFolder, journal: Journal, tmp_path: Path
) -> None:
    with open_rows(folder.settings.folder) as rows:
        facts = whole(rows)
        prune(folder, journal, 11)
        with pytest.raises(ExportError, match="start again"):
            make_export(rows, tmp_path / "export", facts)
    journal.close()


def test_a_content_that_is_missing_without_a_prune_record_is_named(
    folder: LogFolder, journal: Journal
) -> None:
    prune(folder, journal, 1.5)
    journal.close()
    copy = Copy(folder)
    copy.database.execute("UPDATE blobs SET content = NULL WHERE idx = 4")
    report = copy.verify()
    assert [(p.record, p.text) for p in report.problems] == [(4, "its content is missing")]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"short":1', b'"short":9'), (b"[[1,2]", b"[[2,3]"), (b'"sha256":"', b'"sha256":"0')],
)
def test_a_prune_record_that_lies_is_named(
    folder: LogFolder, journal: Journal, old: bytes, new: bytes
) -> None:
    """Even one that a thief of the writer signed: the leaves say what was due."""
    prune(folder, journal, 1.5)
    journal.close()
    copy = Copy(folder)
    metas = copy.column("blobs", "meta")
    (index,) = (i for i, meta in metas.items() if b'"ranges"' in meta)
    assert old in metas[index]
    with open_rows(folder.settings.folder) as rows:
        (row,) = rows.rows(index, index + 1)
    leaf = Leaf.unpack(row.leaf)
    report = Report(prunes=[(index, leaf.wall_ns, metas[index].replace(old, new))])
    _check(copy, report)
    assert index in {problem.record for problem in report.problems}
    copy.put("blobs", "meta", index, metas[index].replace(old, new))
    assert copy.verify().verdict is Verdict.TAMPERED


def _check(copy: Copy, report: Report) -> None:
    check_prunes(copy.rows, Ranges(), report)


def test_the_guards_of_the_database_allow_pruning_and_nothing_else(
    folder: LogFolder, journal: Journal
) -> None:
    journal.close()
    database = sqlite3.connect(folder.settings.folder / "audit.db")
    for change in ("content = x'00'", "meta = NULL", "idx = 99, content = NULL"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(f"UPDATE blobs SET {change} WHERE idx = 1")  # noqa: S608
    database.execute("UPDATE blobs SET content = NULL WHERE idx = 1")
    database.rollback()
    database.close()


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_ranges_hold_what_was_put_in(inside: set[int], others: set[int]) -> None:
    ranges, covers = Ranges(), Ranges()
    for index in sorted(inside):
        ranges.add(index)
    for index in sorted(others):
        covers.add(index)
    assert {index for first, end in ranges for index in range(first, end)} == inside
    assert list(ranges.without(covers)) == sorted(inside - others)


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"days":{"x":1},"ranges":[[0,1]],"sha256":""}',
        b'{"days":{"short":1},"ranges":[],"sha256":""}',
        b'{"days":{"short":1},"ranges":[[1,0]],"sha256":""}',
        b'{"days":{"short":1},"ranges":[[0,2],[1,3]],"sha256":""}',
        b'{"days":{"short":1},"ranges":[[0]],"sha256":""}',
        b'{"days":[],"ranges":[[0,1]],"sha256":""}',
    ],
)
def test_what_does_not_say_what_was_pruned_is_refused(payload: bytes) -> None:
    with pytest.raises(LogFormatError):
        Pruned.parse(payload)


def test_an_unknown_class_is_refused_by_name() -> None:
    message = {"op": "append", "type": "prompt", "actor": "a", "meta": {}, "retention": "SHORT"}
    with pytest.raises(RecordRefusedError, match="short, long, permanent"):
        parse_append(message)


def test_records_that_are_no_prompts_are_long_unless_told_otherwise() -> None:
    message = {"op": "append", "type": "admin", "actor": "a", "meta": {}}
    assert parse_append(message).retention is Retention.LONG
    assert parse_append(message | {"retention": "short"}).retention is Retention.SHORT
    assert parse_append(message | {"type": "prompt"}).retention is Retention.STANDARD
