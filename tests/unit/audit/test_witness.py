"""A witness signs what goes on from what he has seen, and says what is wrong with all else."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.cosign import Witness, cosign
from audit.errors import ReadOnlyError, RecordRefusedError, WitnessRefusedError
from audit.note import VerifierKey, read_checkpoint
from audit.officers import load_officers, save_officers
from audit.outside import last_word
from audit.reader import open_rows
from audit.report import Verdict
from audit.verify import verify_log
from audit.witness import Memory, WitnessRequest, judge, make_request
from tests.unit.audit.logfolder import LogFolder, append, make_folder, request

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LAPTOP = Witness("laptop", KEY.public_key().public_bytes_raw())
NOW = 1_795_400_000


def grow(folder: LogFolder, epochs: int = 1) -> None:
    for _ in range(epochs):
        journal = folder.journal()
        append(journal, request("one", kind="admin"), request("two", kind="admin"))
        journal.close()


def vkey(folder: LogFolder) -> VerifierKey:
    return VerifierKey.parse((folder.settings.folder / "log.vkey").read_text())


def ask(folder: LogFolder, *sizes: int) -> WitnessRequest:
    with open_rows(folder.settings.folder) as rows:
        return WitnessRequest.parse(make_request(rows, sizes).to_json())


def first_sight(folder: LogFolder) -> Memory:
    return judge(ask(folder, 0), Memory(vkey(folder)), NOW)


def test_a_witness_follows_the_keys_of_all_epochs_from_the_commissioned_one(
    folder: LogFolder,
) -> None:
    grow(folder, epochs=3)
    seen = first_sight(folder)
    assert (seen.size, seen.epoch, seen.seen) == (12, 2, NOW)
    grow(folder, epochs=2)
    later = judge(ask(folder, seen.size), Memory.parse(seen.to_json()), NOW + 60)
    assert (later.size, later.epoch) == (20, 4)
    again = judge(ask(folder, later.size), later, NOW + 120)
    assert again == dataclasses.replace(later, seen=NOW + 120)


def test_a_witness_follows_within_one_epoch(folder: LogFolder) -> None:
    journal = folder.journal()
    append(journal, request("one"))
    seen = judge(ask(folder, 0), Memory(vkey(folder)), NOW)
    append(journal, request("two"), request("three"))
    later = judge(ask(folder, seen.size), seen, NOW)
    assert (later.size, later.epoch, later.key) == (4, 0, seen.key)
    journal.close()


def test_a_log_that_was_rolled_back_is_refused_with_both_sizes(
    folder: LogFolder, tmp_path: Path
) -> None:
    grow(folder)
    old = tmp_path / "old"
    shutil.copytree(folder.root, old)
    grow(folder, epochs=2)
    seen = first_sight(folder)
    shutil.rmtree(folder.root)
    shutil.copytree(old, folder.root)
    with pytest.raises(WitnessRefusedError, match=r"ROLLED BACK.*4 records.*has seen 12\. 8 are"):
        judge(ask(folder, seen.size), seen, NOW)


def test_a_log_that_was_rolled_back_and_went_on_differently_is_refused(
    folder: LogFolder, tmp_path: Path
) -> None:
    grow(folder)
    old = tmp_path / "old"
    shutil.copytree(folder.root, old)
    grow(folder)
    seen = first_sight(folder)
    shutil.rmtree(folder.root)
    shutil.copytree(old, folder.root)
    grow(folder, epochs=3)
    with pytest.raises(WitnessRefusedError, match="FORKED: the log's first 8 records"):
        judge(ask(folder, seen.size), seen, NOW)


def test_another_log_a_strange_key_and_missing_proofs_are_refused(
    folder: LogFolder, tmp_path: Path
) -> None:
    grow(folder, epochs=2)
    other = make_folder(tmp_path / "other")
    grow(other)
    with pytest.raises(WitnessRefusedError, match="not promised before"):
        judge(ask(folder, 0), Memory(vkey(other)), NOW)
    with pytest.raises(WitnessRefusedError, match="This is the log cloister-test/audit, not x"):
        judge(ask(folder, 0), Memory(VerifierKey("x", bytes(32))), NOW)
    seen = first_sight(folder)
    grow(folder)
    with pytest.raises(WitnessRefusedError, match="--since 8"):
        judge(ask(folder, 4), seen, NOW)
    with pytest.raises(WitnessRefusedError, match="how the log began"):
        judge(ask(folder, 12), Memory(vkey(folder)), NOW)


def test_no_changed_request_is_signed_for_anything_else(folder: LogFolder) -> None:
    grow(folder)
    seen = first_sight(folder)
    grow(folder, epochs=2)
    asked = ask(folder, seen.size)
    right = judge(asked, seen, NOW)
    text = asked.to_json()
    for place in range(0, len(text), 7):
        changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        try:
            found = judge(WitnessRequest.parse(changed), seen, NOW)
        except WitnessRefusedError:
            continue
        assert (found.size, found.root, found.key) == (right.size, right.root, right.key)


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}', '{"version": 1, "checkpoint": 1}'])
def test_what_is_no_request_and_no_memory_is_named(text: str) -> None:
    with pytest.raises(WitnessRefusedError, match="cloister audit checkpoint"):
        WitnessRequest.parse(text)
    with pytest.raises(WitnessRefusedError, match="memory is damaged"):
        Memory.parse(text)


def test_a_memory_with_a_key_that_is_none_is_damaged(folder: LogFolder) -> None:
    grow(folder)
    value = json.loads(first_sight(folder).to_json())
    with pytest.raises(WitnessRefusedError, match="memory is damaged"):
        Memory.parse(json.dumps({**value, "key": "AAAA"}))


def with_witness(folder: LogFolder) -> None:
    officers = load_officers(folder.settings.officers)
    save_officers(folder.settings.officers, officers.with_witness(LAPTOP))
    assert load_officers(folder.settings.officers).witnesses == (LAPTOP,)


def test_a_word_becomes_a_record_that_the_verifier_counts(folder: LogFolder) -> None:
    with_witness(folder)
    journal = folder.journal()
    append(journal, request("one"))
    note = cosign(journal.standing.checkpoint, "laptop", KEY, NOW)
    append(journal, request("two"))
    journal.write_head(journal.add_witness(journal.check_witness(note)).notes)
    assert (journal.standing.witnessed, journal.standing.witnessed_at) == (2, NOW)
    journal.close()
    report = folder.verify()
    assert report.verdict is Verdict.INTACT
    assert report.witnessed == 2
    assert "2 records, by laptop on 2026-11-23" in "\n".join(report.lines())
    assert "3 since then seen by no outsider" in "\n".join(report.lines())
    assert any("witnesses' keys were taken from the log" in remark for remark in report.remarks)
    journal = folder.journal()
    assert (journal.standing.witnessed, journal.standing.witnessed_at) == (2, NOW)
    journal.close()
    with open_rows(folder.settings.folder) as rows:
        word = last_word(rows)
        assert word is not None
        assert (word.witness, word.size, word.when) == ("laptop", 2, NOW)
        known = verify_log(rows, folder.root, witnesses=[LAPTOP])
        stranger = Witness("laptop", bytes(range(32)))
        unknown = verify_log(rows, folder.root, witnesses=[stranger])
    assert (known.witnessed, unknown.witnessed) == (2, 0)
    unknown.require_witness = True
    assert unknown.verdict is Verdict.UNWITNESSED


def test_a_word_of_nobody_known_is_refused(folder: LogFolder) -> None:
    journal = folder.journal()
    note = cosign(journal.standing.checkpoint, "laptop", KEY, NOW)
    with pytest.raises(RecordRefusedError, match=r"no witness of officers\.json"):
        journal.check_witness(note)
    with_witness(folder)
    with pytest.raises(RecordRefusedError, match="not the word of a witness"):
        journal.check_witness("nothing")
    with pytest.raises(RecordRefusedError, match="does not match"):
        journal.check_witness(note.replace("\n1\n", "\n2\n"))
    journal.close()


def test_a_word_from_before_a_rollback_stops_the_log(folder: LogFolder, tmp_path: Path) -> None:
    with_witness(folder)
    grow(folder)
    old = tmp_path / "old"
    shutil.copytree(folder.root, old)
    grow(folder, epochs=2)
    with open_rows(folder.settings.folder) as rows:
        newest = rows.last_checkpoint()
    assert newest is not None
    note = cosign(newest[1], "laptop", KEY, NOW)
    shutil.rmtree(folder.root)
    shutil.copytree(old, folder.root)
    journal = folder.journal()
    with pytest.raises(ReadOnlyError, match="ROLLED BACK: the witness laptop has seen 12 records"):
        journal.check_witness(note)
    append(journal, *(request(str(number)) for number in range(9)))
    with pytest.raises(ReadOnlyError, match="FORKED"):
        journal.check_witness(note)
    journal.close()
    (folder.root / "seen").write_text(note)
    with open_rows(old / "log") as rows:
        report = verify_log(rows, old, seen=folder.root / "seen")
    assert report.verdict is Verdict.TAMPERED
    assert "has seen 12 records, but the log holds 4" in str(report.problems[0])


def test_a_record_that_claims_a_witness_is_checked(folder: LogFolder) -> None:
    with_witness(folder)
    journal = folder.journal()
    receipt = journal.check_witness(cosign(journal.standing.checkpoint, "laptop", KEY, NOW))
    forged = dataclasses.replace(receipt, note=receipt.note.replace("\n1\n", "\n3\n"))
    journal.write_head(journal.add_witness(forged).notes)
    journal.close()
    report = folder.verify()
    assert report.verdict is Verdict.TAMPERED
    assert report.problems[0].record == 1
    assert "not the word of a witness" in report.problems[0].text


def test_an_officers_file_with_a_strange_witness_is_refused(folder: LogFolder) -> None:
    with_witness(folder)
    value = json.loads(folder.settings.officers.read_text())
    for witnesses, says in (
        (["x"], "a witness is malformed"),
        ([str(LAPTOP)] * 2, "stands there twice"),
        ("x", "must be a list"),
    ):
        folder.settings.officers.write_text(json.dumps({**value, "witnesses": witnesses}))
        with pytest.raises(Exception, match=says):
            load_officers(folder.settings.officers)


def test_the_checkpoint_of_a_request_is_the_logs_newest(folder: LogFolder) -> None:
    grow(folder)
    assert read_checkpoint(ask(folder, 0).checkpoint).size == 4
