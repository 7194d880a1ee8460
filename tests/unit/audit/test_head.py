"""head.log: torn ends heal, a database that knows less than the head is refused."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.errors import NotDurableError, ReadOnlyError, SecondWriterError
from audit.head import HeadLog, read_head
from audit.report import Verdict
from tests.unit.audit.logfolder import LogFolder, append, request


def write_log(folder: LogFolder, batches: int) -> None:
    journal = folder.journal()
    for number in range(batches):
        append(journal, request(str(number)))
    journal.close()


def test_the_head_holds_every_checkpoint_of_the_log(folder: LogFolder) -> None:
    write_log(folder, 5)
    with sqlite3.connect(folder.settings.folder / "audit.db") as connection:
        notes = [
            note for (note,) in connection.execute("SELECT note FROM checkpoints ORDER BY size")
        ]
    connection.close()
    assert list(read_head(folder.settings.head)) == notes


def test_a_head_cut_anywhere_in_its_last_entry_heals(folder: LogFolder) -> None:
    write_log(folder, 3)
    whole = folder.settings.head.read_bytes()
    entries = list(read_head(folder.settings.head))
    start = whole.rindex(entries[-1].encode())
    for end in range(start, len(whole) - 1):
        folder.settings.head.write_bytes(whole[:end])
        head = HeadLog(folder.settings.head)
        assert head.last() == entries[-2]
        head.close()
        assert folder.settings.head.read_bytes() == whole[:start]


@pytest.mark.parametrize("behind", [1, 2, 4])
def test_a_head_that_lags_is_brought_level_unaided(folder: LogFolder, behind: int) -> None:
    write_log(folder, 3)
    notes = list(read_head(folder.settings.head))
    folder.settings.head.write_text("".join(note + "\n" for note in notes[:-behind]))
    folder.journal().close()
    report = folder.verify()
    assert report.verdict is Verdict.INTACT
    assert list(read_head(folder.settings.head))[-3] == notes[-1]


def test_a_crash_between_the_first_commit_and_the_head_heals(folder: LogFolder) -> None:
    folder.journal().release()
    folder.settings.head.write_bytes(b"")
    folder.journal().close()
    assert folder.verify().verdict is Verdict.INTACT


def test_an_older_database_is_refused_and_the_message_counts(folder: LogFolder) -> None:
    write_log(folder, 2)
    older = folder.root / "older"
    shutil.copytree(folder.settings.folder, older)
    write_log(folder, 5)
    shutil.rmtree(folder.settings.folder)
    older.rename(folder.settings.folder)
    with pytest.raises(ReadOnlyError, match=r"holds 4 records but .* has seen 12: 8 are missing"):
        folder.journal()
    report = folder.verify()
    assert report.verdict is Verdict.TAMPERED
    assert "the last 8 are missing" in str(report.problems[0])


def test_a_missing_database_is_not_replaced_by_an_empty_one(folder: LogFolder) -> None:
    write_log(folder, 1)
    shutil.rmtree(folder.settings.folder)
    with pytest.raises(ReadOnlyError, match="is missing"):
        folder.journal()
    assert not (folder.settings.folder / "audit.db").exists()


def test_a_missing_head_is_refused(folder: LogFolder) -> None:
    write_log(folder, 3)
    folder.settings.head.unlink()
    with pytest.raises(ReadOnlyError, match="empty or missing"):
        folder.journal()


def test_the_head_of_another_log_is_refused(folder: LogFolder, tmp_path: Path) -> None:
    write_log(folder, 2)
    text = folder.settings.head.read_text()
    folder.settings.head.write_text(text.replace("cloister-test", "cloister-tess"))
    with pytest.raises(ReadOnlyError, match="disagree"):
        folder.journal()


def test_a_log_of_another_format_is_refused_and_left_as_it_is(folder: LogFolder) -> None:
    write_log(folder, 2)
    database = sqlite3.connect(folder.settings.database)
    with database:
        database.execute("DROP TRIGGER log_no_update")
        database.execute("UPDATE log SET value = 'cloister-audit/v1' WHERE name = 'format'")
    database.close()
    before = folder.settings.database.read_bytes()
    with pytest.raises(ReadOnlyError, match="format cloister-audit/v1; this version writes"):
        folder.journal()
    assert folder.settings.database.read_bytes() == before


@pytest.mark.parametrize("garbage", [b"x" * 100_000, b"a\n\n\xe2\x80\x94 b c\n\n"])
def test_a_head_of_anything_else_is_refused(folder: LogFolder, garbage: bytes) -> None:
    write_log(folder, 2)
    folder.settings.head.write_bytes(garbage)
    with pytest.raises(ReadOnlyError, match="checkpoint"):
        folder.journal()


def test_a_long_head_goes_on_in_a_new_file_from_its_last_entry(folder: LogFolder) -> None:
    journal = folder.journal()
    for number in range(5):
        append(journal, request(str(number)))
    journal.release()
    notes = list(read_head(folder.settings.head))
    head = HeadLog(folder.settings.head)
    head.rotate(limit=100)
    head.append("a\n1\nb\n\n\N{EM DASH} a c\n")
    head.close()
    assert list(read_head(folder.settings.head)) == [notes[-1], "a\n1\nb\n\n\N{EM DASH} a c\n"]
    assert list(read_head(folder.root / "head.log.1")) == notes


def test_a_removed_head_takes_no_more_entries(tmp_path: Path) -> None:
    head = HeadLog(tmp_path / "head.log")
    (tmp_path / "head.log").unlink()
    with pytest.raises(NotDurableError, match="can not be written"):
        head.append("x")
    head.close()


def test_a_head_has_one_writer(tmp_path: Path) -> None:
    head = HeadLog(tmp_path / "head.log")
    with pytest.raises(SecondWriterError):
        HeadLog(tmp_path / "head.log")
    head.close()
    HeadLog(tmp_path / "head.log").close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text.replace("cloister-test", "cloister-tess"), "disagree"),
        (lambda text: "a\n\n\N{EM DASH} a c\n\n" + text, "is no checkpoint"),
    ],
)
def test_the_verifier_names_what_is_wrong_with_a_head(
    folder: LogFolder, change: Callable[[str], str], says: str
) -> None:
    write_log(folder, 3)
    folder.settings.head.write_text(change(folder.settings.head.read_text()))
    report = folder.verify()
    assert report.verdict is Verdict.TAMPERED
    assert says in str(report.problems[0])


def test_room_that_was_written_ahead_is_passed_over_after_a_crash(folder: LogFolder) -> None:
    write_log(folder, 3)
    whole = folder.settings.head.read_bytes()
    notes = list(read_head(folder.settings.head))
    for rest in (b"", b"cloister-test/audit\n12", notes[0].encode()[:-3]):
        folder.settings.head.write_bytes(whole + rest + bytes(50_000))
        assert list(read_head(folder.settings.head)) == notes
        head = HeadLog(folder.settings.head)
        assert head.last() == notes[-1]
        head.append(notes[0])
        head.close()
        assert folder.settings.head.read_bytes() == whole + notes[0].encode() + b"\n"


def test_a_head_that_is_cut_while_it_is_written_takes_no_more_entries(tmp_path: Path) -> None:
    head = HeadLog(tmp_path / "head.log")
    head.append("x")
    (tmp_path / "head.log").write_bytes(b"")
    with pytest.raises(NotDurableError, match="was cut"):
        head.append("y")
    head.close()


def test_a_checkpoint_from_a_receipt_serves_as_a_new_head(folder: LogFolder) -> None:
    journal = folder.journal()
    (receipt,) = append(journal, request())
    append(journal, request())
    journal.close()
    folder.settings.head.write_text(receipt.checkpoint + "\n")
    assert folder.verify().verdict is Verdict.INTACT
    folder.journal().close()
    assert folder.verify().verdict is Verdict.INTACT
