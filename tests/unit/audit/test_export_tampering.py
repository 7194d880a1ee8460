"""No change to an export passes, and the record is named that was changed.

All bits of a small export are flipped, and all its records are cut, deleted, swapped and repeated,
with the list of files left as it is or mended. The walk through every single bit takes a while: it
is marked slow, a walk in strides always runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.export.layout import SUMS
from audit.report import Report, Verdict
from audit.rows import Row
from tests.unit.audit.exportfolder import Export, pack_blobs, record_of
from tests.unit.audit.logfolder import append, make_folder, request

SIZE = 50
STRIDE = 11  # bytes between two flips of the quick walk
SIGNED = ("log/", "blobs/", "grants/")  # what a checkpoint covers, list of files or not


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = make_folder(tmp_path_factory.mktemp("log") / "one")
    journal = folder.journal()
    append(journal, *(request(f"text {number}", kind="admin") for number in range(20)))
    journal.write_head(journal.heartbeat().notes)
    journal.write_head(journal.next_epoch().notes)
    append(journal, *(request(f"text {number}", kind="admin") for number in range(25)))
    journal.close()
    export = Export.make(folder, folder.root / "export")
    assert len(export.rows()) == SIZE
    return export


@pytest.fixture
def export(original: Export, tmp_path: Path) -> Export:
    return original.copy(tmp_path / "export")


def check_named(report: Report, path: str, data: bytes, place: int) -> None:
    """The verdict, and the record or the file that is named first."""
    where = (path, place, [str(problem) for problem in report.problems])
    assert report.verdict is Verdict.TAMPERED, where
    record = record_of(path, data, place, SIZE)
    if record is not None:
        assert record in [problem.record for problem in report.problems], where
        assert report.problems[0].record == record, where


def flip_all(export: Export, step: int, bits: range) -> Iterator[int]:
    """Flip bits of every `step`-th byte of every file, one at a time; yields how many so far."""
    count = 0
    for path in export.files():
        data = export.read(path)
        for place in range(0, len(data), step):
            for bit in bits if len(bits) > 1 else [place // step % 8]:
                changed = bytearray(data)
                changed[place] ^= 1 << bit
                export.write(path, bytes(changed))
                check_named(export.verify(), path, data, place)
                count += 1
                yield count
        export.write(path, data)


def test_a_flipped_bit_anywhere_is_found_and_names_the_record(export: Export) -> None:
    assert max(flip_all(export, STRIDE, range(1))) > 2500


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_every_single_flipped_bit_is_found_and_names_the_record(export: Export) -> None:
    size = sum(len(data) for data in export.bytes().values())
    assert max(flip_all(export, 1, range(8))) == 8 * size


def test_a_flipped_bit_of_what_is_signed_is_found_though_the_list_is_mended(
    export: Export,
) -> None:
    for path in export.files():
        if not path.startswith(SIGNED):
            continue
        data = export.read(path)
        for place in range(0, len(data), 3 * STRIDE):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            export.write(path, bytes(changed))
            export.mend()
            check_named(export.verify(), path, data, place)
        export.write(path, data)
    export.mend()
    assert export.verify().verdict is Verdict.INTACT


def test_every_file_that_is_missing_cut_emptied_or_doubled_is_found(export: Export) -> None:
    for path in export.files():
        data = export.read(path)
        for changed in (b"", data[:-1], data[: len(data) // 2], data + b"\0", data + data):
            export.write(path, changed)
            assert export.verify().verdict is Verdict.TAMPERED, (path, len(changed))
        (export.folder / path).unlink()
        if path != "export.json":
            assert export.verify().verdict is Verdict.TAMPERED, path
        export.write(path, data)
        export.write(path + ".copy", data)
        assert export.verify().verdict is Verdict.TAMPERED, path
        (export.folder / (path + ".copy")).unlink()
    assert export.verify().verdict is Verdict.INTACT


def test_every_two_files_that_are_exchanged_are_found(export: Export) -> None:
    files = export.files()
    for place, one in enumerate(files):
        for other in files[place + 1 :]:
            first, second = export.read(one), export.read(other)
            export.write(one, second)
            export.write(other, first)
            assert export.verify().verdict is Verdict.TAMPERED, (one, other)
            export.write(one, first)
            export.write(other, second)


def renumbered(rows: list[Row]) -> list[Row]:
    return [Row(place, row.leaf, row.meta, row.content) for place, row in enumerate(rows)]


def test_every_record_that_is_deleted_is_named_though_the_list_is_mended(
    export: Export, original: Export
) -> None:
    rows = original.rows()
    for place in range(SIZE):
        export.put(renumbered(rows[:place] + rows[place + 1 :]))
        report = export.verify()
        assert report.verdict is Verdict.TAMPERED
        if place < SIZE - 1:
            assert report.problems[0].record == place


def test_every_record_that_is_repeated_is_named_though_the_list_is_mended(
    export: Export, original: Export
) -> None:
    rows = original.rows()
    for place in range(SIZE):
        export.put(renumbered(rows[: place + 1] + rows[place:]))
        report = export.verify()
        assert report.verdict is Verdict.TAMPERED
        if place < SIZE - 1:
            assert place + 1 in [problem.record for problem in report.problems]


def test_every_two_neighbours_that_are_swapped_are_named_though_the_list_is_mended(
    export: Export, original: Export
) -> None:
    rows = original.rows()
    for place in range(SIZE - 1):
        swapped = [*rows[:place], rows[place + 1], rows[place], *rows[place + 2 :]]
        export.put(renumbered(swapped))
        report = export.verify()
        assert report.verdict is Verdict.TAMPERED
        assert place in [problem.record for problem in report.problems]


def test_every_cut_of_the_end_is_found_though_the_list_is_mended(
    export: Export, original: Export
) -> None:
    rows = original.rows()
    for size in range(1, SIZE):
        export.put(rows[:size])
        assert export.verify().verdict is Verdict.TAMPERED, size


def test_a_cut_to_an_earlier_checkpoint_is_found_only_from_outside(
    export: Export, original: Export
) -> None:
    """The same limit as the log's own: see the specification."""
    report = original.verify()
    second = report.openings[1][0]
    text = export.read("log/checkpoints").decode()
    early = text[: text.index("\n\n", text.index("\n\n") + 2) + 1]
    export.put(original.rows()[:second])
    export.write(f"blobs/000.p/{SIZE}", pack_blobs(original.rows()[:second]))
    for path in [path for path in export.files() if path.endswith(f".p/{SIZE}")]:
        data = export.read(path)
        (export.folder / path).unlink()
        export.write(path.replace(f".p/{SIZE}", f".p/{second}"), data)
    facts = export.read("export.json").decode()
    facts = facts.replace(f'"size": {SIZE}', f'"size": {second}').replace(
        f'"end": {SIZE}', f'"end": {second}'
    )
    export.write("export.json", facts.encode())
    export.write("log/checkpoint", early.encode())
    export.write("log/checkpoints", early.encode() + b"\n")
    for name in ("A", "B"):
        (export.folder / f"grants/epoch-1.{name}.age").unlink()
    export.mend()
    assert export.verify().verdict is Verdict.INTACT
    assert SUMS in export.files()
