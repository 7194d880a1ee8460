"""An export holds what was asked for, the same bytes each time, and goes on where it stopped."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from pymerkle import InmemoryTree

from audit.errors import ExportError, LogFormatError
from audit.export.layout import (
    ExportFacts,
    hash_tiles,
    pack_entries,
    read_blobs,
    tile_path,
    unpack_entries,
)
from audit.export.make import begun, between, make_export, whole
from audit.leaf import Leaf
from audit.note import VerifierKey, read_checkpoint
from audit.opening import OpenedRecord, epoch_secrets, epoch_spans, log_name, open_epoch
from audit.reader import open_records, open_rows
from audit.report import Verdict
from audit.rows import Row
from audit.verify import verify_log
from tests.unit.audit.exportfolder import Export, pack_blobs
from tests.unit.audit.logfolder import LogFolder, append, make_folder, request


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    """Two epochs and more than two tiles."""
    folder = make_folder(tmp_path_factory.mktemp("log") / "one")
    journal = folder.journal()
    append(journal, *(request(f"text {number}") for number in range(200)))
    folder.clock.advance(500)
    append(journal, *(request(f"text {number}") for number in range(200, 400)))
    journal.write_head(journal.heartbeat().notes)
    journal.write_head(journal.next_epoch().notes)
    folder.clock.advance(500)
    append(journal, *(request(f"text {number}") for number in range(400, 560)))
    journal.close()
    return folder


@pytest.fixture(scope="module")
def original(log: LogFolder, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return Export.make(log, tmp_path_factory.mktemp("export") / "e")


def test_an_export_is_intact_and_holds_every_record(original: Export, log: LogFolder) -> None:
    report = original.verify()
    assert report.verdict is Verdict.INTACT
    assert (report.problems, report.remarks) == ([], [])
    with open_rows(log.settings.folder) as rows:
        assert original.rows() == list(rows.rows(0, rows.size()))


def test_two_officers_open_an_export_as_they_open_the_log(original: Export, log: LogFolder) -> None:
    report = original.verify()
    spans = epoch_spans(report.openings, report.records)
    secrets, _ = epoch_secrets(spans, log.identities)
    with open_records(original.folder) as rows:
        opened = [
            record.content["text"]
            for span in spans
            for record in open_epoch(
                rows, span, secrets[span.number], log_name(report.openings[0][2]), lambda _: True
            )
            if isinstance(record, OpenedRecord) and record.content
        ]
    assert opened == [f"text {number}" for number in range(560)]


def test_the_same_question_gives_the_same_bytes(
    original: Export, log: LogFolder, tmp_path: Path
) -> None:
    assert Export.make(log, tmp_path / "again").bytes() == original.bytes()


def test_an_export_that_was_broken_off_anywhere_goes_on_to_the_same_bytes(
    original: Export, log: LogFolder, tmp_path: Path
) -> None:
    files = len(original.files()) - 1
    with open_rows(log.settings.folder) as rows:
        facts = whole(rows)
        for stop in range(1, files, 3):
            folder = tmp_path / str(stop)
            shutil.copytree(original.folder, folder)
            lines = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
            (folder / "SHA256SUMS").unlink()
            torn = lines[stop][:30]
            (folder / "SHA256SUMS.part").write_text("".join(lines[:stop]) + torn)
            for line in lines[stop:]:
                (folder / line.split("  ")[1].strip()).unlink()
            if not (folder / "export.json").exists():
                continue
            assert begun(folder) == facts
            done = make_export(rows, folder, facts)
            assert done.resumed == stop
            assert Export(folder, original.key).bytes() == original.bytes()


def test_a_file_that_was_damaged_meanwhile_is_written_again(
    original: Export, log: LogFolder, tmp_path: Path
) -> None:
    copy = original.copy(tmp_path / "e")
    (copy.folder / "SHA256SUMS").rename(copy.folder / "SHA256SUMS.part")
    (copy.folder / "blobs/000").unlink()
    with open_rows(log.settings.folder) as rows:
        make_export(rows, copy.folder, whole(rows))
    assert copy.bytes() == original.bytes()


def test_a_folder_with_anything_else_is_refused(
    original: Export, log: LogFolder, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(ExportError, match="something else"):
        Export.make(log, tmp_path)
    copy = original.copy(tmp_path / "e")
    facts = ExportFacts(copy.key.name, str(copy.key), 565, 3, 7)
    with pytest.raises(ExportError, match="Give another folder"):
        Export.make(log, copy.folder, facts)
    copy.write("export.json", b"{}")
    with pytest.raises(ExportError, match="damaged"):
        Export.make(log, copy.folder)


def test_a_disk_that_refuses_says_how_to_go_on(log: LogFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="goes on where it stopped"):
        Export.make(log, tmp_path / "file" / "e")


def test_an_export_of_a_time_has_the_leaves_of_all_and_the_blobs_of_some(
    log: LogFolder, tmp_path: Path
) -> None:
    with open_rows(log.settings.folder) as rows:
        facts = whole(rows)
        start = Leaf.unpack(rows.leaf(0)).wall_ns
        step = 500_000_000_000
        narrow = between(rows, facts, start + step // 2, start + step * 3 // 2)
        nothing = between(rows, facts, start + 100 * step, None)
    assert (narrow.first, narrow.end, narrow.size) == (201, 404, 565)
    assert (nothing.first, nothing.end) == (0, 0)
    export = Export.make(log, tmp_path / "e", narrow)
    report = export.verify()
    assert report.verdict is Verdict.INTACT
    assert "the sealed blobs of the records 201 to 403" in report.remarks[0]
    sealed = [row.index for row in export.rows() if row.content is not None]
    assert sealed == list(range(201, 401))
    assert b"m.keller" not in b"".join(export.bytes().values())


def test_a_blob_that_is_missing_inside_the_time_is_named(log: LogFolder, tmp_path: Path) -> None:
    with open_rows(log.settings.folder) as rows:
        facts = whole(rows)
    export = Export.make(log, tmp_path / "e", ExportFacts(facts.origin, facts.vkey, 565, 201, 404))
    bundle = export.rows()[256:512]
    bundle[44] = Row(300, bundle[44].leaf, bundle[44].meta, None)
    export.write("blobs/001", pack_blobs(bundle))
    export.mend()
    report = export.verify()
    assert report.problems[0].record == 300
    assert report.problems[0].text == "its content is missing"


def test_tiles_are_those_of_tlog_tiles(original: Export) -> None:
    assert tile_path("log/tile/0", 0) == "log/tile/0/000"
    assert tile_path("log/tile/0", 1234067) == "log/tile/0/x001/x234/067"
    assert tile_path("log/tile/1", 5, 8) == "log/tile/1/005.p/8"
    assert [path for path, *_ in hash_tiles(70_000)][-3:] == [
        "log/tile/1/000", "log/tile/1/001.p/17", "log/tile/2/000.p/1",
    ]  # fmt: skip
    assert pack_entries([bytes(200)]) == b"\x00\xc8" + bytes(200)
    assert "log/tile/1/000.p/2" in original.files()


def test_pymerkle_computes_the_signed_root_from_the_entries(original: Export) -> None:
    tree = InmemoryTree(algorithm="sha256")
    for path in ("log/tile/entries/000", "log/tile/entries/001", "log/tile/entries/002.p/53"):
        data = original.read(path)
        for start in range(0, len(data), 202):
            tree.append_entry(data[start + 2 : start + 202])
    assert tree.get_root() == read_checkpoint(original.read("log/checkpoint").decode()).root


def test_the_script_checks_files_and_signature_and_finds_changes(
    original: Export, tmp_path: Path
) -> None:
    copy = original.copy(tmp_path / "e")
    opening = copy.verify().openings[-1][2]
    vkey = str(VerifierKey(copy.key.name, opening.key))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(copy.folder / "verify.sh"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(vkey)
    assert done.returncode == 0, done.stderr
    assert "checkpoint of 565 records is signed by that key" in done.stdout
    assert run(str(copy.key)).returncode != 0, "the first epoch's key did not sign it"
    copy.write("extra", b"")
    assert "TAMPERED" in run().stdout
    (copy.folder / "extra").unlink()
    data = copy.read("blobs/001")
    copy.write("blobs/001", data[:-1] + bytes([data[-1] ^ 1]))
    assert run().returncode != 0


def test_bundles_that_are_cut_read_as_far_as_they_go() -> None:
    packed = pack_entries([bytes(200), bytes(range(200))])
    assert unpack_entries(packed, 2) == [bytes(200), bytes(range(200))]
    assert unpack_entries(packed[:-1], 2)[1] == bytes(range(199))
    assert list(read_blobs(io.BytesIO(b""), 2)) == [(None, None)] * 2
    assert list(read_blobs(io.BytesIO(b"\0\0\0\2" + bytes(4) + b"a"), 1)) == [(b"", None)]


def test_the_signature_in_the_checkpoint_is_ed25519_over_its_text(original: Export) -> None:
    note = original.read("log/checkpoint").decode()
    assert len(base64.b64decode(note.splitlines()[4].split(" ")[2])) == 68


@pytest.mark.parametrize(
    "text", ["", "{}", '{"format": "cloister-audit-export/v1", "size": 1}', "[]"]
)
def test_facts_that_can_not_be_are_refused(text: str) -> None:
    with pytest.raises(LogFormatError):
        ExportFacts.parse(text)
    with pytest.raises(LogFormatError, match="can not be"):
        ExportFacts.parse(ExportFacts("a", "b", 5, 3, 7).to_json())


def test_a_checkpoint_kept_outside_is_found_in_an_export(
    original: Export, log: LogFolder, tmp_path: Path
) -> None:
    with open_rows(log.settings.folder) as rows:
        early = rows.checkpoint(201)
    assert early is not None
    (tmp_path / "seen").write_text(early)
    with open_records(original.folder) as records:
        report = verify_log(records, original.folder, seen=tmp_path / "seen")
    assert report.verdict is Verdict.INTACT
    assert report.witnessed == 201
