"""The head of a GGUF is read within bounds, and a damaged one is refused by name."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.catalogue.errors import GgufError
from appliance.catalogue.known.head import Array, read_head
from tests.support.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("head") / "tiny.gguf"
    write_tiny_gguf(path)
    return path


def test_it_reads_what_the_reference_reader_reads(tiny: Path) -> None:
    head = read_head(tiny)
    reader = gguf.GGUFReader(tiny)
    assert head.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors)
    for key, field in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        found = head.metadata[key]
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            assert found == Array(len(field.data))
        else:
            assert found == pytest.approx(field.contents()) or found == field.contents()


def test_texts_and_numbers_have_their_kind(tiny: Path) -> None:
    head = read_head(tiny)
    assert head.text("general.architecture") == "llama"
    assert head.number("llama.block_count") == 2
    assert head.number("tokenizer.ggml.add_bos_token") is None
    assert head.text("llama.block_count") is None
    assert head.number("nothing") is None


@pytest.mark.parametrize("length", [0, 3, 8, 30, 200, 5_000])
def test_a_file_that_is_cut_off_is_refused(tiny: Path, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:length])
    with pytest.raises(GgufError, match=r"cut\.gguf: .*Copy the file again"):
        read_head(cut)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"PK\x03\x04" + bytes(60), "no GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "key-value pairs"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**50), "bytes of a text"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"a", 99), "unknown type 99"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 9, 5), "unknown type 9"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 4, 2**50), "items of an array"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"a", 9), "9 dimensions"),
    ],
)
def test_a_claim_beyond_bounds_is_refused_before_anything_is_allocated(
    tmp_path: Path, content: bytes, named: str
) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufError, match=named):
        read_head(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="can not be read"):
        read_head(tmp_path / "none.gguf")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_mutated_head_is_read_or_refused(tiny: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(tiny.read_bytes()[:40_000])
    for place, value in changes:
        content[place] = value
    mutated = tiny.parent / "mutated.gguf"
    mutated.write_bytes(content)
    with suppress(GgufError):
        assert read_head(mutated).parameters >= 0
