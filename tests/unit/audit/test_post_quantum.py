"""Officers whose keys withstand a quantum computer, alone and beside others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from audit.age import MAX_RECIPIENTS, Identity, decrypt, encrypt, parse_recipient
from audit.agekeys import parse_identity, resists_quantum
from audit.errors import AgeFormatError, NoMatchingIdentityError, TwoOfficersNeededError
from audit.hybrid import HybridIdentity
from audit.keyfile import OfficerKey
from audit.officers import Officer, Officers, load_officers, save_officers
from audit.opening import OpenedRecord, epoch_secrets, epoch_spans, log_name, open_epoch
from audit.reader import open_rows
from audit.report import Verdict
from audit.witness import make_request
from tests.unit.audit.logfolder import LogFolder, append, make_folder, request

NEW, OTHER, OLD = HybridIdentity.generate(), HybridIdentity.generate(), Identity.generate()


def test_a_hybrid_key_opens_what_is_sealed_to_it_and_no_other_does() -> None:
    sealed = encrypt(b"share", [NEW.recipient])
    assert decrypt(sealed, [OTHER, OLD, NEW]) == b"share"
    with pytest.raises(NoMatchingIdentityError):
        decrypt(sealed, [OTHER, OLD])


def test_keys_of_both_kinds_open_one_file() -> None:
    sealed = encrypt(b"share", [OLD.recipient, NEW.recipient])
    assert decrypt(sealed, [OLD]) == decrypt(sealed, [NEW]) == b"share"


def test_a_key_reads_back_and_does_not_show_in_repr() -> None:
    assert str(parse_identity(str(NEW))) == str(NEW)
    assert str(NEW).startswith("AGE-SECRET-KEY-PQ-1")
    assert NEW.recipient.startswith("age1pq1")
    assert "SECRET" not in repr(NEW)
    assert [resists_quantum(key.recipient) for key in (NEW, OLD)] == [True, False]


def test_the_public_key_is_that_of_the_example_in_age_s_specification() -> None:
    identity = HybridIdentity.parse(
        "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"
    )
    digest = hashlib.sha256(identity.recipient.encode()).hexdigest()
    assert digest == "a091dd7e0ee9d62b75173dcc98441a0424baa941e66a8776e570a4ae60ff61ea"


def test_a_damaged_public_key_is_refused() -> None:
    raw = NEW.recipient
    for wrong in (raw[:-1], raw[:100], raw[:50] + ("q" if raw[50] != "q" else "p") + raw[51:]):
        with pytest.raises(AgeFormatError):
            parse_recipient(wrong)
    with pytest.raises(AgeFormatError):
        HybridIdentity.parse(str(OLD))


def records(log: LogFolder, keys: list[OfficerKey]) -> list[OpenedRecord]:
    report = log.verify()
    assert report.verdict is Verdict.INTACT
    with open_rows(log.settings.folder) as rows:
        spans = epoch_spans(report.openings, report.records)
        secrets, shut = epoch_secrets(spans, keys)
        assert not shut
        name = log_name(spans[0].opening)
        found = [
            record
            for span in spans
            for record in open_epoch(rows, span, secrets[span.number], name, lambda _: True)
        ]
    return [record for record in found if isinstance(record, OpenedRecord)]


def officers(path: Path, compliance: list[OfficerKey], security: list[OfficerKey]) -> None:
    groups = {"compliance": compliance, "security": security}
    save_officers(
        path,
        Officers(
            {
                group: tuple(Officer(f"{group} {n}", key.recipient) for n, key in enumerate(keys))
                for group, keys in groups.items()
            }
        ),
    )


def test_a_log_opens_to_officers_of_both_kinds(tmp_path: Path) -> None:
    log, old, new = make_folder(tmp_path / "one"), Identity.generate(), HybridIdentity.generate()
    officers(log.settings.officers, [OLD, NEW], [new, old])
    journal = log.journal()
    append(journal, request("What is the dose?"))
    journal.close()
    for keys in ([OLD, new], [NEW, new], [NEW, old], [OLD, old]):
        texts = [record.content["text"] for record in records(log, keys) if record.content]
        assert texts == ["What is the dose?"]
    with pytest.raises(TwoOfficersNeededError):
        records(log, [NEW, OLD])


def test_twenty_such_officers_in_each_group_are_not_too_many(tmp_path: Path) -> None:
    log = make_folder(tmp_path / "one")
    groups = [[HybridIdentity.generate() for _ in range(MAX_RECIPIENTS)] for _ in range(2)]
    officers(log.settings.officers, [*groups[0]], [*groups[1]])
    assert len(load_officers(log.settings.officers).recipients("security")) == MAX_RECIPIENTS
    journal = log.journal()
    append(journal, request("text"))
    journal.write_head(journal.next_epoch().notes)
    journal.close()
    assert records(log, [groups[0][-1], groups[1][-1]])[1].content == {"text": "text"}
    with open_rows(log.settings.folder) as rows:
        assert len(make_request(rows, [0]).openings) == 2
