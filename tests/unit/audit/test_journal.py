"""The journal: what a batch makes durable, how epochs follow each other, what is refused."""

from __future__ import annotations

import base64
import os
import stat

import pytest

from audit.errors import (
    KeyFileError,
    NotDurableError,
    OfficersFileError,
    ReadOnlyError,
    RecordRefusedError,
    SecondWriterError,
)
from audit.leaf import Leaf, LeafType, leaf_hash
from audit.merkle import check_inclusion
from audit.note import VerifierKey
from audit.payloads import EpochLimits
from audit.proof import parse_proof
from audit.protocol import Receipt
from audit.reader import open_rows
from audit.report import Verdict
from audit.rows import Row
from audit.uuid7 import uuid7
from audit.writer.journal import Journal
from tests.unit.audit.logfolder import ORIGIN, LogFolder, append, request


def rows_of(folder: LogFolder) -> list[Row]:
    with open_rows(folder.settings.folder) as rows:
        return list(rows.rows(0, rows.size()))


def kinds(folder: LogFolder) -> list[str]:
    return [Leaf.unpack(row.leaf).kind.label for row in rows_of(folder)]


def test_a_new_log_begins_with_the_opening_of_epoch_0(folder: LogFolder, journal: Journal) -> None:
    assert kinds(folder) == ["epoch-open"]
    assert journal.standing.size == 1
    assert journal.standing.epoch == 0
    assert (folder.settings.folder / "log.vkey").read_text() == journal.standing.vkey + "\n"


def test_a_receipt_names_leaf_root_and_a_checkpoint_that_verifies(
    folder: LogFolder, journal: Journal
) -> None:
    one, two = append(journal, request("one"), request("two"))
    assert (one.index, two.index) == (1, 2)
    assert one.size == two.size == 3
    assert one.checkpoint == two.checkpoint
    key = VerifierKey.parse(journal.standing.vkey)
    checkpoint = key.verify(one.checkpoint)
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 3)
    assert base64.b64encode(checkpoint.root).decode() == one.root
    leaf = rows_of(folder)[1].leaf
    assert base64.b64encode(leaf_hash(leaf)).decode() == one.leaf


def test_only_the_leaf_stands_in_clear(folder: LogFolder, journal: Journal) -> None:
    append(journal, request("The patient is Erika Mustermann", diagnosis="J45.9"))
    journal.close()
    stored = b"".join(
        path.read_bytes() for path in folder.settings.folder.rglob("*") if path.is_file()
    )
    for secret in (b"Mustermann", b"m.keller", b"J45.9", b"triage"):
        assert secret not in stored


def test_every_file_of_the_log_is_closed_to_others(folder: LogFolder, journal: Journal) -> None:
    append(journal, request())
    modes = {"keys/kek": 0o600, "keys/epoch-1.key": 0o600, "keys": 0o700}
    # What is sealed may be read by a group that the folder lets in: the officers' pages.
    modes |= dict.fromkeys(("audit.db", "audit.db-wal", "audit.db-shm"), 0o640)
    for name, mode in modes.items():
        assert stat.S_IMODE((folder.settings.folder / name).stat().st_mode) == mode, name


def test_a_retry_gets_the_first_receipt_and_no_second_record(journal: Journal) -> None:
    event = uuid7()
    (first,) = append(journal, request("one", event=event))
    append(journal, request("between"))
    (again,) = append(journal, request("one", event=event))
    assert again == first
    assert journal.standing.size == 3


def test_a_retry_in_the_same_batch_gets_the_same_receipt(journal: Journal) -> None:
    event = uuid7()
    first, again = append(journal, request("one", event=event), request("one", event=event))
    assert again == first
    assert journal.standing.size == 2


def test_another_record_under_a_known_event_is_refused(folder: LogFolder) -> None:
    event = uuid7()
    journal = folder.journal()
    append(journal, request("one", event=event))
    done = journal.append([request("two", event=event), request("three")])
    assert isinstance(done.outcomes[0], RecordRefusedError)
    assert isinstance(done.outcomes[1], Receipt)
    journal.close()
    journal = folder.journal()
    (after_restart,) = journal.append([request("one", event=event)]).outcomes
    assert isinstance(after_restart, RecordRefusedError)
    assert "recorded already" in str(after_restart)
    journal.close()


@pytest.mark.parametrize("count", [0, 1, 6, 300, 700])
def test_each_record_has_a_proof_that_leads_to_the_checkpoint(
    folder: LogFolder, journal: Journal, count: int
) -> None:
    if count:
        append(journal, *(request(str(number)) for number in range(count)))
    key = VerifierKey.parse(journal.standing.vkey)
    rows = rows_of(folder)
    for index in {0, 1, 255, 256, 257, count // 2, count - 1, count} & set(range(count + 1)):
        text = journal.proof(index)
        proof = parse_proof(text)
        checkpoint = key.verify(proof.checkpoint)
        assert proof.index == index
        assert text.startswith("c2sp.org/tlog-proof@v1\nindex ")
        check_inclusion(
            leaf_hash(rows[index].leaf), index, checkpoint.size, proof.path, checkpoint.root
        )


def test_there_is_no_proof_of_what_is_not_there(journal: Journal) -> None:
    for index in (-1, 1, 10**12):
        with pytest.raises(RecordRefusedError, match="no record"):
            journal.proof(index)


def test_a_restart_closes_the_epoch_and_opens_the_next_with_the_promised_key(
    folder: LogFolder,
) -> None:
    for _ in range(3):
        journal = folder.journal()
        append(journal, request())
        journal.close()
    assert kinds(folder) == ["epoch-open", "prompt", "epoch-close"] + 2 * [
        "epoch-open",
        "fault",
        "prompt",
        "epoch-close",
    ]
    report = folder.verify()
    assert report.verdict is Verdict.INTACT
    assert [number for _, number, _ in report.openings] == [0, 1, 2]


def test_an_end_by_force_is_marked_unclean_at_its_size(folder: LogFolder) -> None:
    journal = folder.journal()
    append(journal, request(), request())
    journal.release()
    folder.journal().close()
    report = folder.verify()
    assert report.verdict is Verdict.INTACT
    previous = report.openings[1][2].previous
    assert previous is not None
    assert (previous.end, previous.size) == ("unclean", 3)
    assert any("epoch 0 ended unclean at size 3" in remark for remark in report.remarks)


def test_the_next_epoch_opens_when_the_records_are_used_up(folder: LogFolder) -> None:
    journal = folder.journal(EpochLimits(records=3))
    assert not journal.epoch_is_due()
    append(journal, request(), request())
    assert journal.epoch_is_due()
    journal.write_head(journal.next_epoch().notes)
    assert not journal.epoch_is_due()
    append(journal, request())
    journal.close()
    assert [Leaf.unpack(row.leaf).epoch for row in rows_of(folder)] == [0, 0, 0, 0, 1, 1, 1]
    assert folder.verify().verdict is Verdict.INTACT


def test_the_next_epoch_opens_when_its_time_is_up(folder: LogFolder) -> None:
    journal = folder.journal(EpochLimits(seconds=3600))
    folder.clock.advance(3599)
    assert not journal.epoch_is_due()
    folder.clock.advance(2)
    assert journal.epoch_is_due()
    journal.close()


def test_an_officer_who_left_gets_no_share_of_the_next_epoch(folder: LogFolder) -> None:
    journal = folder.journal()
    text = folder.settings.officers.read_text()
    newcomer = type(folder.compliance).generate().recipient
    folder.settings.officers.write_text(text.replace(folder.compliance.recipient, newcomer))
    journal.write_head(journal.next_epoch().notes)
    journal.close()
    first, second = [opening for _, _, opening in folder.verify().openings]
    assert first.recipients["compliance"] == [folder.compliance.recipient]
    assert second.recipients["compliance"] == [newcomer]


def test_without_officers_the_running_epoch_goes_on(folder: LogFolder, journal: Journal) -> None:
    folder.settings.officers.unlink()
    with pytest.raises(OfficersFileError, match="does not exist"):
        journal.next_epoch()
    append(journal, request())
    assert journal.standing.epoch == 0


def test_only_the_next_epochs_key_lies_on_the_disk(folder: LogFolder, journal: Journal) -> None:
    journal.write_head(journal.next_epoch().notes)
    names = {path.name for path in (folder.settings.folder / "keys").iterdir()}
    assert names == {"kek", "epoch-2.key"}


@pytest.mark.parametrize("name", ["kek", "epoch-1.key"])
def test_a_missing_or_foreign_key_is_named(folder: LogFolder, name: str) -> None:
    folder.journal().close()
    path = folder.settings.folder / "keys" / name
    key = path.read_bytes()
    path.unlink()
    with pytest.raises(KeyFileError, match=name):
        folder.journal()
    path.write_bytes(bytes(len(key)))
    with pytest.raises(KeyFileError, match=r"epoch-1\.key"):
        folder.journal()
    path.write_bytes(key)
    folder.journal().close()


def test_a_heartbeat_is_a_record_without_blobs(folder: LogFolder, journal: Journal) -> None:
    folder.clock.advance(301)
    assert journal.idle_seconds() > 300
    journal.write_head(journal.heartbeat().notes)
    assert journal.idle_seconds() < 1
    last = rows_of(folder)[-1]
    assert Leaf.unpack(last.leaf).kind is LeafType.HEARTBEAT
    assert (last.meta, last.content) == (None, None)


@pytest.mark.parametrize("step", [-7200, 2, 86400])
def test_a_step_of_the_wall_clock_is_recorded_before_what_follows(
    folder: LogFolder, journal: Journal, step: int
) -> None:
    append(journal, request())
    folder.clock.wall += step * 10**9
    append(journal, request())
    append(journal, request())
    assert kinds(folder) == ["epoch-open", "prompt", "clock-step", "prompt", "prompt"]
    report = folder.verify()
    assert report.verdict is Verdict.INTACT
    assert any("the wall clock was set" in remark for remark in report.remarks)


def test_a_slow_correction_of_the_clock_is_no_step(folder: LogFolder, journal: Journal) -> None:
    for _ in range(5):
        folder.clock.wall += 400_000_000
        append(journal, request())
    assert "clock-step" not in kinds(folder)


def test_prompts_without_an_answer_are_named_at_the_next_start(folder: LogFolder) -> None:
    journal = folder.journal()
    answered, dangling = append(journal, request(), request())
    append(journal, request(kind="answer", begin=answered.event))
    journal.release()
    folder.journal().close()
    last = rows_of(folder)[-2]
    assert Leaf.unpack(last.leaf).kind is LeafType.FAULT
    assert dangling.event.encode() in (last.meta or b"")
    assert answered.event.encode() not in (last.meta or b"")
    size = len(rows_of(folder))
    folder.journal().close()
    assert kinds(folder)[size:] == ["epoch-open", "epoch-close"]


def test_another_log_under_the_same_name_is_refused(folder: LogFolder) -> None:
    folder.journal().close()
    settings = folder.settings
    other = type(settings)(settings.folder, settings.head, settings.officers, "other/audit")
    with pytest.raises(ReadOnlyError, match="holds the log"):
        Journal(other, folder.clock).open()


def test_a_second_journal_on_the_same_head_is_refused(folder: LogFolder, journal: Journal) -> None:
    with pytest.raises(SecondWriterError, match="held by another audit writer"):
        folder.journal()


def test_an_unlinked_database_acknowledges_nothing(folder: LogFolder, journal: Journal) -> None:
    (folder.settings.folder / "audit.db").unlink()
    with pytest.raises(ReadOnlyError, match="removed or replaced"):
        journal.append([request()])
    with pytest.raises(NotDurableError, match="not open"):
        journal.append([request()])


@pytest.mark.parametrize("name", ["audit.db", "audit.db-wal"])
def test_a_replaced_file_acknowledges_nothing(
    folder: LogFolder, journal: Journal, name: str
) -> None:
    append(journal, request())
    path = folder.settings.folder / name
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    os.replace(copy, path)
    with pytest.raises(ReadOnlyError, match="removed or replaced"):
        journal.append([request()])


def test_a_foreign_row_is_noticed_by_the_comparison(folder: LogFolder, journal: Journal) -> None:
    append(journal, request())
    journal.compare_with_head()
    journal.standing = type(journal.standing)(checkpoint="another")
    with pytest.raises(ReadOnlyError, match="somebody changed it"):
        journal.compare_with_head()
