"""Opening: two officers read all that was written, whoever the officers were at the time."""

from __future__ import annotations

import pytest

from audit.age import Identity
from audit.cli.printing import as_text, printable
from audit.errors import NoMatchingIdentityError, TwoOfficersNeededError
from audit.formats.jsonl import as_json_line
from audit.opening import (
    ClosedRecord,
    OpenedRecord,
    epoch_secrets,
    epoch_spans,
    log_name,
    open_epoch,
)
from audit.reader import open_rows
from tests.unit.audit.logfolder import LogFolder, append, request


def opened(
    folder: LogFolder, identities: list[Identity], *, contents: bool = True
) -> list[OpenedRecord | ClosedRecord]:
    report = folder.verify()
    spans = epoch_spans(report.openings, report.records)
    secrets, _ = epoch_secrets(spans, identities, contents=contents)
    name = log_name(report.openings[0][2])
    with open_rows(folder.settings.folder) as rows:
        return [
            record
            for span in spans
            if span.number in secrets
            for record in open_epoch(rows, span, secrets[span.number], name, lambda _: True)
        ]


@pytest.fixture
def written(folder: LogFolder) -> LogFolder:
    journal = folder.journal()
    append(journal, request("one", diagnosis="J45"), request("two"))
    journal.write_head(journal.heartbeat().notes)
    append(journal, request("three"))
    journal.release()
    journal = folder.journal()
    append(journal, request("four"))
    journal.close()
    return folder


def test_two_officers_read_every_record(written: LogFolder) -> None:
    records = opened(written, written.identities)
    texts = [r.content["text"] for r in records if isinstance(r, OpenedRecord) and r.content]
    assert texts == ["one", "two", "three", "four"]
    first = records[1]
    assert isinstance(first, OpenedRecord)
    assert first.actor == "m.keller"
    assert first.meta["type"] == "prompt"
    assert first.subject is None
    assert first.meta["meta"] == {"task": "triage", "diagnosis": "J45"}
    assert first.meta["time"].endswith("Z")


def test_officers_of_one_group_read_no_content(written: LogFolder) -> None:
    for identity in written.identities:
        with pytest.raises(TwoOfficersNeededError):
            opened(written, [identity])
    with pytest.raises(NoMatchingIdentityError):
        opened(written, [Identity.generate()])


def test_one_officer_reads_metadata_and_neither_names_nor_contents(written: LogFolder) -> None:
    for identity in written.identities:
        records = opened(written, [identity], contents=False)
        assert all(isinstance(record, OpenedRecord) for record in records)
        first = records[1]
        assert isinstance(first, OpenedRecord)
        assert first.meta["meta"] == {"task": "triage", "diagnosis": "J45"}
        assert (first.actor, first.subject, first.content) == (None, None, None)
        assert "m.keller" not in repr(records)
        assert "three" not in repr(records)


def test_officers_read_the_epochs_of_their_time_only(written: LogFolder) -> None:
    newcomer = Identity.generate()
    path = written.settings.officers
    path.write_text(path.read_text().replace(written.security.recipient, newcomer.recipient))
    journal = written.journal()
    append(journal, request("five"))
    journal.close()

    def texts(identities: list[Identity]) -> list[str]:
        records = opened(written, identities)
        return [r.content["text"] for r in records if isinstance(r, OpenedRecord) and r.content]

    assert texts([written.compliance, newcomer]) == ["five"]
    assert texts(written.identities) == ["one", "two", "three", "four"]
    assert texts([*written.identities, newcomer]) == ["one", "two", "three", "four", "five"]


def test_a_record_whose_seal_is_broken_does_not_stop_the_others(written: LogFolder) -> None:
    report = written.verify()
    (span, *_) = epoch_spans(report.openings, report.records)
    secrets, _ = epoch_secrets([span], written.identities)
    with open_rows(written.settings.folder) as rows:
        records = list(open_epoch(rows, span, secrets[0], b"x" * 32, lambda _: True))
    closed = [record for record in records if isinstance(record, ClosedRecord)]
    assert [record.index for record in closed] == [1, 2, 4]
    assert "changed" in closed[0].reason


def test_nothing_that_was_typed_reaches_the_terminal_raw(folder: LogFolder) -> None:
    journal = folder.journal()
    append(journal, request("a\x1b[2Jb\nsecond \u202e line\x9b", note="\x07"))
    journal.close()
    record = opened(folder, folder.identities)[1]
    assert isinstance(record, OpenedRecord)
    text = as_text(record)
    assert "a\\x1b[2Jb" in text
    assert "second \\u202e line\\x9b" in text
    assert "note: \\x07" in text
    assert all(character.isprintable() or character == "\n" for character in text)
    assert as_json_line(record).isascii()
    assert "\n" not in as_json_line(record)
    assert printable("größer 你好") == "größer 你好"
