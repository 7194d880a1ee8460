"""No change to a stored log passes, and the verdict names what was changed.

A small log of three epochs, one of which ended by force, is changed in every way that a thief of
the disk could change it: byte by byte, and row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.leaf import leaf_hash
from audit.merkle import Frontier
from audit.note import VerifierKey
from audit.report import Verdict
from audit.verify import verify_log
from tests.unit.audit.logcopy import Copy, relink
from tests.unit.audit.logfolder import LogFolder, append, make_folder, request

OPENING_STEP = 23  # bytes between two flips in the long opening records


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    folder = make_folder(tmp_path_factory.mktemp("log") / "one")
    journal = folder.journal()
    (asked,) = append(journal, request("What?"))
    append(journal, request("That.", kind="answer", begin=asked.event), request("More?"))
    append(journal, request("Even more?"), request("a"), request("b"))
    journal.release()
    journal = folder.journal()
    append(journal, request("c"))
    journal.write_head(journal.heartbeat().notes)
    journal.write_head(journal.next_epoch().notes)
    append(journal, request("d"), request("e"))
    journal.close()
    return folder


@pytest.fixture
def copy(written: LogFolder) -> Iterator[Copy]:
    copy = Copy(written)
    yield copy
    copy.database.close()


def test_what_was_written_is_intact(copy: Copy) -> None:
    report = copy.verify()
    assert report.verdict is Verdict.INTACT
    assert report.problems == []
    assert report.covered == report.records == copy.size


@pytest.mark.parametrize(("bit", "step"), [(0, 1), (7, 7)])
def test_a_flip_in_any_byte_of_any_leaf_is_found_and_names_the_record(
    copy: Copy, bit: int, step: int
) -> None:
    for index, leaf in copy.column("leaves", "leaf").items():
        for place in range(0, len(leaf), step):
            changed = bytearray(leaf)
            changed[place] ^= 1 << bit
            copy.put("leaves", "leaf", index, bytes(changed))
            report = copy.verify()
            assert report.verdict is Verdict.TAMPERED, (index, place)
            assert report.problems[0].record == index, (index, place, report.problems)
        copy.put("leaves", "leaf", index, leaf)


@pytest.mark.parametrize("part", ["meta", "content"])
def test_a_flip_in_any_byte_of_any_blob_is_found_and_names_the_record(
    copy: Copy, part: str
) -> None:
    for index, blob in copy.column("blobs", part).items():
        for place in range(0, len(blob), OPENING_STEP if len(blob) > 500 else 1):
            changed = bytearray(blob)
            changed[place] ^= 1
            copy.put("blobs", part, index, bytes(changed))
            report = copy.verify()
            assert report.verdict is Verdict.TAMPERED
            assert report.problems[0].record == index
            assert part[:4] in report.problems[0].text
        copy.put("blobs", part, index, blob)


def test_a_change_of_any_character_of_any_checkpoint_is_found(copy: Copy) -> None:
    for size, note in copy.column("checkpoints", "note").items():
        text = note.decode()
        for place in range(len(text)):
            changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
            copy.put("checkpoints", "note", size, changed)
            report = copy.verify()
            assert report.verdict is Verdict.TAMPERED
            assert f"at size {size}" in report.problems[0].text
        copy.put("checkpoints", "note", size, text)


def test_any_missing_leaf_is_found_and_named(copy: Copy) -> None:
    for index, leaf in copy.column("leaves", "leaf").items():
        copy.database.execute("DELETE FROM leaves WHERE idx = ?", (index,))
        report = copy.verify()
        assert report.verdict is Verdict.TAMPERED
        if index < copy.size - 1:
            assert report.problems[0].record == index
        else:
            assert "missing" in report.problems[0].text
        copy.database.execute("INSERT INTO leaves VALUES (?, ?)", (index, leaf))


def test_any_missing_blob_is_found_and_named(copy: Copy) -> None:
    for index in copy.column("blobs", "meta"):
        (row,) = copy.database.execute("SELECT * FROM blobs WHERE idx = ?", (index,)).fetchall()
        copy.database.execute("DELETE FROM blobs WHERE idx = ?", (index,))
        report = copy.verify()
        assert report.problems[0].record == index
        assert report.problems[0].text == "its metadata is missing"
        copy.database.execute("INSERT INTO blobs VALUES (?, ?, ?)", row)


@pytest.mark.parametrize("cut", range(1, 15))
def test_a_cut_that_leaves_no_checkpoint_at_its_end_is_found(copy: Copy, cut: int) -> None:
    size = copy.size - cut
    if size < 1:
        pytest.skip("the log is shorter")
    copy.database.execute("DELETE FROM leaves WHERE idx >= ?", (size,))
    copy.database.execute("DELETE FROM blobs WHERE idx >= ?", (size,))
    assert copy.verify().verdict is Verdict.TAMPERED
    copy.database.execute("DELETE FROM checkpoints WHERE size > ?", (size,))
    report = copy.verify()
    ends = copy.rows.checkpoint(size) is not None
    assert report.verdict is (Verdict.INTACT if ends else Verdict.UNCOVERED)


def test_a_cut_at_a_checkpoint_is_found_by_the_head_file(written: LogFolder, copy: Copy) -> None:
    newest = max(copy.column("checkpoints", "note"))
    size = max(size for size in copy.column("checkpoints", "note") if size < newest)
    for statement in (
        "DELETE FROM leaves WHERE idx >= ?",
        "DELETE FROM blobs WHERE idx >= ?",
        "DELETE FROM checkpoints WHERE size > ?",
    ):
        copy.database.execute(statement, (size,))
    report = verify_log(copy.rows, written.root, trusted=copy.key, head=written.settings.head)
    assert report.verdict is Verdict.TAMPERED
    assert f"the last {newest - size} are missing" in report.problems[0].text


def test_records_without_a_checkpoint_are_not_covered_and_counted(copy: Copy) -> None:
    last = max(copy.column("checkpoints", "note"))
    copy.database.execute("DELETE FROM checkpoints WHERE size = ?", (last,))
    report = copy.verify()
    assert report.verdict is Verdict.UNCOVERED
    assert int(report.verdict) == 2
    assert f"the records {report.covered} to {copy.size - 1}" in report.lines()[0]


def test_a_log_without_any_signature_fails(copy: Copy) -> None:
    copy.database.execute("DELETE FROM checkpoints")
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert any("no signature at all" in str(problem) for problem in report.problems)


def test_an_epoch_without_its_last_checkpoint_fails(copy: Copy) -> None:
    second = copy.verify().openings[1][0]
    copy.database.execute("DELETE FROM checkpoints WHERE size = ?", (second,))
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert "stands under no checkpoint" in report.problems[0].text


def test_an_epoch_that_is_missing_as_a_whole_is_found(copy: Copy) -> None:
    (_, _, _), (start, _, _), (end, _, _) = copy.verify().openings
    for table in ("leaves", "blobs"):
        copy.database.execute(f"DELETE FROM {table} WHERE idx >= ? AND idx < ?", (start, end))  # noqa: S608
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert report.problems[0].record == start
    assert report.problems[0].text == "it is missing"


def test_another_logs_key_fails(copy: Copy) -> None:
    other = VerifierKey(copy.key.name, bytes(range(32)))
    report = verify_log(copy.rows, copy.folder.root, trusted=other)
    assert report.verdict is Verdict.TAMPERED


def test_the_word_of_the_log_for_its_own_key_is_remarked(copy: Copy) -> None:
    report = verify_log(copy.rows, copy.folder.root)
    assert report.verdict is Verdict.INTACT
    assert "taken from the log itself" in report.remarks[0]


def test_changed_facts_fail(copy: Copy) -> None:
    for name in ("vkey", "origin", "format"):
        (value,) = copy.database.execute("SELECT value FROM log WHERE name = ?", (name,)).fetchone()
        copy.database.execute("UPDATE log SET value = 'x' WHERE name = ?", (name,))
        assert copy.verify().verdict is Verdict.TAMPERED
        copy.database.execute("UPDATE log SET value = ? WHERE name = ?", (value, name))


def test_a_changed_grant_file_fails_and_a_missing_one_does_not(written: LogFolder) -> None:
    path = written.settings.folder / "grants" / "epoch-0.A.age"
    sealed = path.read_bytes()
    path.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    report = written.verify()
    assert report.verdict is Verdict.TAMPERED
    assert "epoch-0.A.age" in str(report.problems[0])
    path.unlink()
    assert written.verify().verdict is Verdict.INTACT
    path.write_bytes(sealed)


def test_an_empty_log_fails(copy: Copy) -> None:
    for table in ("leaves", "blobs", "checkpoints"):
        copy.database.execute(f"DELETE FROM {table}")  # noqa: S608
    assert copy.verify().verdict is Verdict.TAMPERED


def test_a_blob_without_a_record_fails(copy: Copy) -> None:
    beat = next(i for i in range(copy.size) if i not in copy.column("blobs", "meta"))
    copy.database.execute("INSERT INTO blobs VALUES (?, ?, NULL)", (beat, b"x"))
    report = copy.verify()
    assert report.problems[0].record == beat


EDITS = st.lists(
    st.tuples(st.sampled_from(["delete", "swap", "repeat", "change"]), st.integers(0, 14)),
    min_size=1,
    max_size=4,
)


@given(EDITS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_script_of_edits_passes_even_when_the_chain_is_mended(
    written: LogFolder, edits: list[tuple[str, int]]
) -> None:
    copy = Copy(written)
    copy.database.execute("DROP INDEX leaves_by_event")
    original = list(copy.column("leaves", "leaf").values())
    leaves = list(original)
    for action, number in edits:
        place = number % max(len(leaves), 1)
        if action == "delete" and len(leaves) > 1:
            del leaves[place]
        elif action == "swap":
            leaves[place], leaves[-1] = leaves[-1], leaves[place]
        elif action == "repeat":
            leaves.insert(place, leaves[place])
        elif action == "change":
            leaf = leaves[place]
            leaves[place] = leaf[:80] + bytes([leaf[80] ^ 1]) + leaf[81:]
    relink(copy, leaves)
    changed = list(copy.column("leaves", "leaf").values()) != original
    assert copy.verify().verdict is (Verdict.TAMPERED if changed else Verdict.INTACT)
    copy.database.close()


def test_changed_tree_nodes_are_found(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "long")
    journal = folder.journal()
    append(journal, *(request(str(number)) for number in range(600)))
    journal.close()
    copy = Copy(folder)
    assert copy.verify().verdict is Verdict.INTACT
    copy.database.execute("UPDATE nodes SET hash = zeroblob(32) WHERE position = 1")
    assert "records 256 to 511 was changed" in str(copy.verify().problems[0])
    copy.database.execute("DELETE FROM nodes WHERE position = 1")
    assert "records 256 to 511 is missing" in str(copy.verify().problems[0])
    copy.database.close()


def test_a_log_of_many_records_names_the_one_that_was_changed(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "long")
    journal = folder.journal()
    for _ in range(3):
        append(journal, *(request(str(number)) for number in range(250)))
    journal.close()
    copy = Copy(folder)
    for index in (1, 250, 251, 500, 749):
        leaf = copy.rows.leaf(index)
        copy.put("leaves", "leaf", index, leaf[:60] + b"\xff" + leaf[61:])
        report = copy.verify()
        assert [problem.record for problem in report.problems] == [index]
        copy.put("leaves", "leaf", index, leaf)
    copy.database.close()


def test_the_thief_of_the_running_epochs_key_can_not_rewrite_the_epochs_before(
    tmp_path: Path,
) -> None:
    folder = make_folder(tmp_path / "theft")
    journal = folder.journal()
    append(journal, request("inconvenient"))
    journal.write_head(journal.next_epoch().notes)
    append(journal, request("later"))
    running = journal._running
    assert running is not None
    copy = Copy(folder)
    leaves = list(copy.column("leaves", "leaf").values())
    leaves[1] = leaves[1][:80] + bytes(8) + leaves[1][88:]
    relink(copy, leaves)
    tree = Frontier()
    for index, leaf in copy.column("leaves", "leaf").items():
        tree.add(leaf_hash(leaf))
        if copy.rows.checkpoint(index + 1) is not None:
            copy.put("checkpoints", "note", index + 1, running.epoch.sign(index + 1, tree.root()))
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert "bears no signature by key" in report.problems[0].text
    copy.database.close()
    journal.release()
