"""What went wrong in other logs does not go wrong in this one; each test is named after its case.

The cases are public: systemd's journal sealing (CVE-2023-31438, CVE-2023-31439, issues 15425 and
11524), HashiCorp Vault's issue 31718, LiteLLM's issues 20240 and 33107.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.cosign import Witness, cosign
from audit.errors import ReadOnlyError
from audit.leaf import leaf_hash
from audit.merkle import Frontier
from audit.note import VerifierKey
from audit.opening import ClosedRecord, epoch_secrets, epoch_spans, log_name, open_epoch
from audit.reader import open_rows
from audit.report import Verdict
from audit.verify import verify_log
from audit.writer.journal import Journal
from audit.writer.request import parse_append
from tests.unit.audit.logcopy import Copy, relink
from tests.unit.audit.logfolder import LogFolder, append, request


@pytest.fixture
def copy(folder: LogFolder) -> Iterator[Copy]:
    journal = folder.journal()
    append(journal, request("inconvenient"))
    journal.write_head(journal.next_epoch().notes)
    append(journal, request("later"))
    journal.close()
    copy = Copy(folder)
    yield copy
    copy.database.close()


def test_journald_cve_2023_31438_cut_and_continued_is_found_by_a_witness(
    folder: LogFolder, tmp_path: Path
) -> None:
    """Cut off the end, go on as if nothing had been: journald did not notice."""
    journal = folder.journal()
    append(journal, request("before"))
    journal.close()
    shutil.copytree(folder.root, tmp_path / "earlier")
    journal = folder.journal()
    append(journal, request("inconvenient"))
    key = Ed25519PrivateKey.generate()
    seen = tmp_path / "seen"
    seen.write_text(cosign(journal.standing.checkpoint, "laptop", key, 1_795_400_000))
    journal.close()
    shutil.rmtree(folder.root)
    shutil.copytree(tmp_path / "earlier", folder.root)
    journal = folder.journal()
    append(journal, *(request(str(number), kind="admin") for number in range(9)))
    journal.close()
    laptop = Witness("laptop", key.public_key().public_bytes_raw())
    assert folder.verify().verdict is Verdict.INTACT, "the log alone can not show it"
    with open_rows(folder.settings.folder) as rows:
        report = verify_log(rows, folder.root, seen=seen, witnesses=[laptop])
    assert report.verdict is Verdict.TAMPERED
    assert "are not those that were seen outside" in str(report.problems[0])


def test_journald_cve_2023_31439_old_records_sealed_again_with_a_newer_key_are_found(
    folder: LogFolder,
) -> None:
    journal = folder.journal()
    append(journal, request("inconvenient"))
    journal.write_head(journal.next_epoch().notes)
    append(journal, request("later"))
    thief = journal._running
    assert thief is not None
    copy = Copy(folder)
    leaves = list(copy.column("leaves", "leaf").values())
    leaves[1] = leaves[1][:24] + bytes(8) + leaves[1][32:]
    relink(copy, leaves)
    tree = Frontier()
    for index, leaf in copy.column("leaves", "leaf").items():
        tree.add(leaf_hash(leaf))
        if copy.rows.checkpoint(index + 1) is not None:
            copy.put("checkpoints", "note", index + 1, thief.epoch.sign(index + 1, tree.root()))
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert "bears no signature by key" in report.problems[0].text
    copy.database.close()
    journal.release()


def test_journald_15425_a_log_that_bears_no_seal_does_not_pass(copy: Copy) -> None:
    copy.database.execute("DELETE FROM checkpoints")
    assert copy.verify().verdict is Verdict.TAMPERED


def test_journald_11524_a_wrong_key_does_not_pass(copy: Copy) -> None:
    for number in range(20):
        wrong = VerifierKey(copy.key.name, bytes([number]) * 32)
        report = verify_log(copy.rows, copy.folder.root, trusted=wrong)
        assert report.verdict is Verdict.TAMPERED


def test_vault_31718_a_log_that_was_removed_takes_no_more_records(
    folder: LogFolder, journal: Journal
) -> None:
    folder.settings.database.unlink()
    with pytest.raises(ReadOnlyError, match="was removed or replaced"):
        append(journal, request())


def test_litellm_20240_no_side_field_gives_away_who_asked_or_what(folder: LogFolder) -> None:
    """All that one officer opens, and all that lies on the disk, is searched for both."""
    journal = folder.journal()
    message = {
        "op": "append", "type": "prompt", "actor": "ottoline", "subject": "case-4711",
        "meta": {"task": "triage", "model": "demo", "chars": 21},
        "content": {"messages": [{"role": "user", "content": "My card was stolen"}],
                    "tools": [{"authorization": "Bearer sk-secret"}]},
    }  # fmt: skip
    append(journal, parse_append(message))
    journal.close()
    report = folder.verify()
    spans = epoch_spans(report.openings, report.records)
    secrets, _ = epoch_secrets(spans, [folder.security], contents=False)
    with open_rows(folder.settings.folder) as rows:
        name = log_name(report.openings[0][2])
        records = list(open_epoch(rows, spans[0], secrets[0], name, lambda _: True))
    assert not any(isinstance(record, ClosedRecord) for record in records)
    disk = b"".join(path.read_bytes() for path in folder.root.rglob("*") if path.is_file())
    for word in ("ottoline", "case-4711", "stolen", "sk-secret", "Bearer"):
        assert word not in repr(records)
        assert word.encode() not in disk
