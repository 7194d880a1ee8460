"""A copy that may end anywhere, and goes on from there."""

from __future__ import annotations

import hashlib
import json
import os
import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.catalogue.known.head import head_of
from appliance.importing import copying
from appliance.importing.copying import check_space, copy
from appliance.importing.errors import CopyError, QuarantineError, SpaceError
from appliance.importing.quarantine import Quarantine
from appliance.importing.source import Piece, Source, Stamp


class Stopped(Exception):
    """Somebody ends the copy."""


def source_of(*files: Path) -> Source:
    """The bytes of files, with something given between them."""
    pieces = [Piece(3, raw=b"abc")]
    for file in files:
        pieces += [Piece(file.stat().st_size, file), Piece(2, raw=b"--")]
    stamps = tuple(Stamp.of(file) for file in files)
    return Source("m.gguf", tuple(pieces), stamps, head_of({}, []), ())


def whole(*files: Path) -> bytes:
    return b"abc" + b"".join(file.read_bytes() + b"--" for file in files)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    for seed, file in enumerate(made):
        file.write_bytes(hashlib.sha256(bytes([seed])).digest() * 40)
    return made


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(stops=st.lists(st.integers(1, 2600), max_size=4), block=st.integers(90, 900))
def test_wherever_it_ends_it_goes_on_and_the_copy_is_right(
    tmp_path: Path, files: list[Path], stops: list[int], block: int
) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", "m")
    source = source_of(*files)
    patch = pytest.MonkeyPatch()
    patch.setattr(copying, "_BLOCK", block)
    patch.setattr(copying, "_SYNC", 2 * block)
    for stop in stops:
        seen = 0

        def count(more: int, stop: int = stop) -> None:
            nonlocal seen
            seen += more
            if seen >= stop:
                raise Stopped

        with quarantine.held():
            try:
                copy(source, quarantine, count)
            except Stopped:
                assert quarantine.kept(source.stamps) <= quarantine.copy.stat().st_size
    told: list[int] = []
    with quarantine.held():
        digest = copy(source, quarantine, told.append)
        assert quarantine.copy.read_bytes() == whole(*files)
        assert digest == hashlib.sha256(whole(*files)).hexdigest()
        assert sum(told) == source.size
        quarantine.empty()
    patch.undo()


def test_bytes_that_the_note_does_not_vouch_for_are_copied_again(
    tmp_path: Path, files: list[Path]
) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", "m")
    source = source_of(*files)
    with quarantine.held():
        copy(source, quarantine, lambda _: None)
        quarantine.keep(source.stamps, 100)
        raw = bytearray(whole(*files))
        raw[100:] = bytes(len(raw) - 100)  # as a power cut leaves what was never synced
        quarantine.copy.write_bytes(raw)
        copy(source, quarantine, lambda _: None)
        assert quarantine.copy.read_bytes() == whole(*files)


def test_another_source_of_the_same_name_begins_anew(tmp_path: Path, files: list[Path]) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", "m")
    with quarantine.held():
        copy(source_of(*files), quarantine, lambda _: None)
        os.utime(files[0], ns=(1, 1))
        assert quarantine.kept(source_of(*files).stamps) == 0
        copy(source_of(files[1]), quarantine, lambda _: None)
        assert quarantine.copy.read_bytes() == whole(files[1])


@pytest.mark.parametrize("note", ["", "{}", '{"stamps": [], "kept": -1}', "[1"])
def test_a_damaged_note_begins_anew(tmp_path: Path, files: list[Path], note: str) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", "m")
    with quarantine.held():
        copy(source_of(*files), quarantine, lambda _: None)
        (quarantine.folder / "import.json").write_text(note)
        assert quarantine.kept(source_of(*files).stamps) == 0


def test_a_source_that_changes_meanwhile_is_no_source(tmp_path: Path, files: list[Path]) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", "m")
    source = source_of(*files)
    with quarantine.held():
        with pytest.raises(CopyError, match="changed while"):
            copy(source, quarantine, lambda _: os.utime(files[1], ns=(1, 1)))
        assert not quarantine.copy.exists()


def test_a_source_that_goes_away_is_named_and_the_copy_stays(
    tmp_path: Path, files: list[Path]
) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", "m")
    source = source_of(*files)
    files[1].unlink()
    with quarantine.held():
        with pytest.raises(CopyError, match=r"b\.gguf: No such file.*same command"):
            copy(source, quarantine, lambda _: None)
        assert quarantine.kept(source.stamps) > 1000


def test_a_disk_that_takes_no_more_is_said_and_the_copy_goes_on_later(
    tmp_path: Path, files: list[Path]
) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", "m")
    source = source_of(*files)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with quarantine.held():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
        try:
            with pytest.raises(SpaceError, match=r"takes no more .*same command"):
                copy(source, quarantine, lambda _: None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        copy(source, quarantine, lambda _: None)
        assert quarantine.copy.read_bytes() == whole(*files)


def test_too_little_room_is_refused_with_both_numbers(tmp_path: Path) -> None:
    check_space(tmp_path, 1, 0)
    with pytest.raises(SpaceError, match=r"needs 1000000\.00 GB .* \d.* free\. Free \d"):
        check_space(tmp_path, 10**15, 0)
    with pytest.raises(SpaceError, match="disk_minimum_mib"):
        check_space(tmp_path, 1, 10**9)


def test_one_import_of_a_name_at_a_time(tmp_path: Path, files: list[Path]) -> None:
    first = Quarantine(tmp_path / "quarantine", "m")
    with first.held():
        copy(source_of(*files), first, lambda _: None)
        with (
            pytest.raises(QuarantineError, match="Another import of 'm'"),
            Quarantine(tmp_path / "quarantine", "m").held(),
        ):
            pass
        assert first.copy.exists()
        assert json.loads((first.folder / "import.json").read_text())["kept"] > 0


def test_an_import_that_copied_nothing_leaves_nothing(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", "m")
    with quarantine.held():
        assert quarantine.folder.stat().st_mode & 0o777 == 0o700
    assert not quarantine.folder.exists()
