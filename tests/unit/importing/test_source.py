"""What a path stands for: one file, all parts of a split model, or a clear complaint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.catalogue.errors import GgufError
from appliance.importing.copying import copy
from appliance.importing.errors import PartMissingError, SourceError
from appliance.importing.quarantine import Quarantine
from appliance.importing.source import find_parts, whole_file
from appliance.importing.split import join_parts
from tests.support.gguf_bytes import TYPE_F32, TYPE_Q8_0, Parts, tensor, words
from tests.support.gguf_bytes import number as numbered
from tests.support.split_gguf import split_gguf
from tests.support.tiny_gguf import Shape, write_tiny_gguf


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A model in one file, whose rows do not end at the alignment."""
    write_tiny_gguf(tmp_path / "big.gguf", Shape(width=36, heads=2, inner=84))
    return tmp_path / "big.gguf"


@pytest.fixture
def parts(whole: Path) -> list[Path]:
    """The same in several files."""
    folder = whole.parent / "parts"
    folder.mkdir()
    made = split_gguf(whole, folder, 5)
    assert len(made) > 3
    return made


def test_any_part_and_the_folder_stand_for_all_parts(parts: list[Path]) -> None:
    for named in (parts[0], parts[2], parts[0].parent):
        assert find_parts(named) == ("big.gguf", parts)


def test_joined_parts_are_the_file_that_was_split(
    whole: Path, parts: list[Path], tmp_path: Path
) -> None:
    source = join_parts("big.gguf", parts)
    quarantine = Quarantine(tmp_path / "quarantine", "big")
    with quarantine.held():
        copy(source, quarantine, lambda _: None)
        assert quarantine.copy.read_bytes() == whole.read_bytes()
    alone = whole_file(whole)
    assert (source.size, source.head, source.formats) == (alone.size, alone.head, alone.formats)


def test_missing_parts_are_named(parts: list[Path]) -> None:
    parts[1].unlink()
    parts[3].unlink()
    with pytest.raises(PartMissingError, match=r"2 of \d parts .*00002-of-.*00004-of-"):
        find_parts(parts[0])


def test_parts_in_each_other_s_place_are_refused(parts: list[Path]) -> None:
    first, second = (part.read_bytes() for part in parts[:2])
    parts[0].write_bytes(second)
    parts[1].write_bytes(first)
    with pytest.raises(PartMissingError, match=r"says that it is part 2 of .* name says 1 of"):
        join_parts("big.gguf", parts)


def test_a_file_that_is_no_part_is_refused_in_a_part_s_place(parts: list[Path]) -> None:
    parts[2].write_bytes(Parts().raw())
    with pytest.raises(PartMissingError, match="own names"):
        join_parts("big.gguf", parts)


def test_a_part_of_another_model_is_refused(parts: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_tiny_gguf(other / "big.gguf", Shape(width=36, heads=2, inner=84, layers=3), seed=2)
    strangers = split_gguf(other / "big.gguf", other, 7)
    assert len(strangers) == len(parts)
    shutil.copy(strangers[1], parts[1])
    with pytest.raises(PartMissingError, match=r"two parts|should have"):
        join_parts("big.gguf", parts)


def test_a_damaged_part_is_named(parts: list[Path]) -> None:
    parts[1].write_bytes(parts[1].read_bytes()[:-100])
    with pytest.raises(GgufError, match=rf"{parts[1].name}: is cut off"):
        join_parts("big.gguf", parts)


def test_a_folder_of_one_model_stands_for_it(whole: Path) -> None:
    assert find_parts(whole.parent) == ("big.gguf", [whole])


def test_a_folder_of_several_models_or_none_is_refused(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "second.gguf").write_bytes(b"")
    with pytest.raises(SourceError, match=r"2 models \('big.gguf', 'second.gguf'\)"):
        find_parts(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="no GGUF file"):
        find_parts(empty)


def test_what_is_not_there_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="mounted"):
        find_parts(tmp_path / "away.gguf")


@pytest.mark.parametrize("count", ["00000", "99999"])
def test_absurd_numbers_of_parts_are_refused(tmp_path: Path, count: str) -> None:
    file = tmp_path / f"m-00001-of-{count}.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(SourceError, match="1 to 1024"):
        find_parts(file)


def test_a_file_name_that_could_steer_a_terminal_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "\x1b[2Jm.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(SourceError, match=r"'\\x1b\[2Jm\.gguf' a plain name"):
        find_parts(file)


def written(folder: Path, *parts: Parts) -> list[Path]:
    """Parts that a test has made byte by byte."""
    paths = [folder / f"m-{n:05d}-of-{len(parts):05d}.gguf" for n in range(1, len(parts) + 1)]
    for number, (path, part) in enumerate(zip(paths, parts, strict=True)):
        place = (numbered("split.no", number), numbered("split.count", len(parts)))
        path.write_bytes(part.with_entries(*place).raw())
    return paths


FIRST = Parts(tensors=(tensor("token_embd.weight", (32, 3), TYPE_F32, 0),), data_bytes=384)
SECOND = Parts(
    entries=(), tensors=(tensor("blk.0.attn_q.weight", (32, 32), TYPE_Q8_0, 0),), data_bytes=1088
)


def test_parts_join_in_order(tmp_path: Path) -> None:
    source = join_parts("m.gguf", written(tmp_path, FIRST, SECOND))
    assert source.formats == ("F32", "Q8_0")
    assert source.head.parameters == 96 + 1024
    assert "split.count" not in source.head.metadata


def test_fewer_tensors_than_promised_are_refused(tmp_path: Path) -> None:
    promised = FIRST.with_entries(numbered("split.tensors.count", 3))
    with pytest.raises(PartMissingError, match="have 2 tensors, and should have 3"):
        join_parts("m.gguf", written(tmp_path, promised, SECOND))


def test_parts_of_two_architectures_are_refused(tmp_path: Path) -> None:
    strange = SECOND.with_entries(words("general.architecture", "phi2"))
    with pytest.raises(PartMissingError, match="of another model than"):
        join_parts("m.gguf", written(tmp_path, FIRST, strange))
