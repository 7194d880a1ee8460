"""The header of a GGUF file is read whole and sound, or refused with the place that is wrong."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path
from struct import pack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.catalogue.errors import GgufError
from appliance.catalogue.gguf import LIMITS, Array, Gguf, read_gguf
from appliance.catalogue.structure import check_structure, check_template
from tests.support.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    TEXT,
    TYPE_F32,
    TYPE_Q8_0,
    U8,
    U32,
    Parts,
    array,
    entry,
    number,
    tensor,
    text,
    texts,
    words,
)
from tests.support.tiny_gguf import CHATML, Shape, write_tiny_gguf

DEMO = Path(__file__).parents[3] / "models/demo/demo-q8_0.gguf"
SECONDS, BYTES = 5.0, 100_000_000  # seconds with coverage measured; a fifth without


def read(folder: Path, raw: bytes) -> Gguf:
    path = folder / "model.gguf"
    path.write_bytes(raw)
    return read_gguf(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_sound_file_is_read(tmp_path: Path, version: int) -> None:
    extra = [
        entry("a.flag", BOOL, b"\x01"),
        entry("a.float", F32, pack("<f", 0.5)),
        array("a.numbers", U32, 3, pack("<3I", 4, 5, 6)),
    ]
    found = read(tmp_path, Parts(version=version).with_entries(*extra).raw())
    assert found.version == version
    assert found.metadata["a.flag"] is True
    assert found.metadata["a.float"] == 0.5
    assert found.metadata["a.numbers"] == Array(False, 3, (4, 5, 6))
    assert found.metadata["tokenizer.ggml.tokens"] == Array(True, 3)
    embedding, query = found.tensors
    assert (embedding.name, embedding.shape, embedding.size) == ("token_embd.weight", (32, 3), 384)
    assert (query.quantisation.name, query.offset, query.size) == ("Q8_0", 384, 1088)


def test_another_alignment_is_kept(tmp_path: Path) -> None:
    parts = Parts(alignment=1024, data_bytes=1024 + 1088).with_entries(
        number("general.alignment", 1024)
    )
    moved = tensor("blk.0.attn_q.weight", (32, 32), TYPE_Q8_0, 1024)
    assert read(tmp_path, parts.but(tensors=(parts.tensors[0], moved)).raw()).tensors[1].size


def test_the_demo_model_is_read() -> None:
    found = read_gguf(DEMO)
    assert len(found.tensors) == 47
    assert found.metadata["general.architecture"] == "llama"


def test_what_the_usual_writer_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path, Shape(four_bit=True, heads=4, kv_heads=2))
    found = read_gguf(path)
    assert found.metadata["tokenizer.chat_template"] == CHATML
    assert {each.quantisation.name for each in found.tensors} == {"Q4_0", "F32"}


ONE = tensor("token_embd.weight", (32, 3), TYPE_F32, 0)
BROKEN = {
    "another kind of file": (Parts(magic=b"GGML"), "does not begin with 'GGUF'"),
    "version 1": (Parts(version=1), "version 1, not 2 or 3"),
    "a version to come": (Parts(version=4), "version 4"),
    "big-endian": (Parts(version=0x03000000), "big-endian"),
    "too many entries": (Parts(entry_count=1 << 60), "metadata entries; at most"),
    "too many tensors": (Parts(tensor_count=1 << 63), "tensors; at most"),
    "one entry too few": (Parts(entry_count=10), "name of tensor 0 has"),
    "a key twice": (
        Parts().with_entries(number("llama.block_count", 2)),
        "'llama.block_count'.*twice",
    ),
    "an empty key": (Parts().with_entries(number("", 2)), "metadata key 9"),
    "an odd key": (Parts().with_entries(number("a b\0", 2)), "metadata key 9"),
    "a key that is no UTF-8": (Parts().with_entries(entry(b"\xff", U32, bytes(4))), "no UTF-8"),
    "a long key": (Parts().with_entries(number("k" * 257, 2)), "257 bytes; at most 256"),
    "a text that is no UTF-8": (Parts().with_entries(words("a", b"\xff")), "'a' is no UTF-8"),
    "an endless text": (
        Parts().with_entries(entry("a", TEXT, pack("<Q", 1 << 63))),
        "'a' has 9223372036854775808 bytes",
    ),
    "an unknown type": (
        Parts().with_entries(entry("a", 13, bytes(8))),
        "'a' has the unknown type 13",
    ),
    "an array of arrays": (Parts().with_entries(array("a", ARRAY, 1, bytes(12))), "unknown type 9"),
    "an endless array": (Parts().with_entries(array("a", U8, 1 << 63, b"")), "cut off.*'a'"),
    "too many texts": (Parts().with_entries(array("a", TEXT, 1 << 40, b"")), "'a' passes"),
    "a text past the end": (
        Parts().with_entries(array("a", TEXT, 2, text("x") + pack("<Q", (1 << 64) - 1))),
        "cut off.*'a'",
    ),
    "alignment 0": (Parts().with_entries(number("general.alignment", 0)), "general.alignment"),
    "alignment 48": (Parts().with_entries(number("general.alignment", 48)), "general.alignment"),
    "alignment as a text": (Parts().with_entries(words("general.alignment", "32")), "alignment"),
    "a tensor twice": (Parts(tensors=(ONE, ONE)), "two tensors are called 'token_embd.weight'"),
    "a tensor without a name": (Parts(tensors=(tensor("", (1,), 0, 0),)), "name of tensor 0"),
    "a long name": (Parts(tensors=(tensor("n" * 64, (1,), 0, 0),)), "64 bytes; at most 63"),
    "no dimension": (Parts(tensors=(tensor("t", (), 0, 0),)), "'t' has 0 dimensions"),
    "five dimensions": (Parts(tensors=(tensor("t", (1,) * 5, 0, 0),)), "'t' has 5 dimensions"),
    "no elements": (Parts(tensors=(tensor("t", (32, 0), 0, 0),)), "dimension of no elements"),
    "absurdly many elements": (Parts(tensors=(tensor("t", (1 << 63,) * 4, 0, 0),)), "would take"),
    "an unknown number format": (
        Parts(tensors=(tensor("t", (1,), 43, 0),)),
        "quantisation type 43",
    ),
    "a format that was taken out": (Parts(tensors=(tensor("t", (1,), 4, 0),)), "type 4"),
    "half a block": (Parts(tensors=(tensor("t", (48, 3), TYPE_Q8_0, 0),)), "no whole blocks of 32"),
    "an overlap": (
        Parts(tensors=(ONE, tensor("t", (32,), TYPE_F32, 352))),
        "'t' overlaps the one before it",
    ),
    "a gap": (Parts(tensors=(ONE, tensor("t", (32,), TYPE_F32, 416))), "gap before tensor 't'"),
    "an offset out of line": (Parts(tensors=(tensor("t", (32,), TYPE_F32, 4),)), "gap before"),
    "a file cut in its data": (Parts(data_bytes=1471), "cut off.*'blk.0.attn_q.weight' ends at"),
    "bytes behind the data": (Parts(data_bytes=1472 + 33), "bytes behind its last tensor"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_the_place(tmp_path: Path, name: str) -> None:
    parts, complaint = BROKEN[name]
    with pytest.raises(GgufError, match=complaint) as caught:
        read(tmp_path, parts.raw())
    assert str(caught.value).startswith("model.gguf: ")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match=r"none\.gguf: is not there"):
        read_gguf(tmp_path / "none.gguf")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(GgufError, match=r"pipe\.gguf: .*no plain file"):
        read_gguf(tmp_path / "pipe.gguf")


def test_every_cut_of_a_sound_file_is_refused(tmp_path: Path) -> None:
    raw = Parts().raw()
    for length in range(len(raw)):
        with pytest.raises(GgufError):
            read(tmp_path, raw[:length])


def _greedy() -> dict[str, bytes]:
    """Files that are as large as the limits let them be."""
    many = LIMITS.array_texts
    blob = b"\xf0\x9f\x98\x80" * (LIMITS.text_bytes // 4)
    long_texts = [words(f"t{number}", blob) for number in range(40)]
    names = [tensor(f"t{number}", (1,), TYPE_F32, 32 * number) for number in range(LIMITS.tensors)]
    return {
        "empty texts": Parts().with_entries(array("a", TEXT, many, bytes(8 * many))).raw(),
        "long texts": Parts().with_entries(*long_texts).raw(),
        "a long array": Parts().with_entries(array("a", U8, 45 << 20, bytes(45 << 20))).raw(),
        "many tensors": Parts(tensors=tuple(names), data_bytes=32 * LIMITS.tensors).raw(),
        "a long header": Parts().with_entries(array("a", U8, 50 << 20, bytes(50 << 20))).raw(),
    }


@pytest.mark.parametrize(
    "name", ["empty texts", "long texts", "a long array", "many tensors", "a long header"]
)
def test_a_greedy_file_takes_little_time_and_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "greedy.gguf"
    path.write_bytes(_greedy()[name])
    began = time.process_time()
    _examine(path)
    assert time.process_time() - began < SECONDS
    tracemalloc.start()
    _examine(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BYTES


def _examine(path: Path) -> None:
    """All that is done with a file; nothing but the one named error may come out."""
    try:
        found = read_gguf(path)
        check_structure(found)
        check_template(found, None)
    except GgufError:
        pass


def _header(path: Path) -> tuple[bytes, int]:
    """The bytes before the tensor data, and the size of the whole file."""
    found = read_gguf(path)
    last = found.tensors[-1]
    return path.read_bytes()[: found.size - last.offset - last.size], found.size


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, int]]:
    tiny = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_gguf(tiny, Shape(vocabulary=300))
    return [_header(DEMO), _header(tiny)]


flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=8)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(0, 1), flips, st.floats(0, 1), st.booleans(), st.booleans())
def test_flips_and_cuts_raise_nothing_but_the_named_error(
    tmp_path: Path,
    headers: list[tuple[bytes, int]],
    which: int,
    changes: list[tuple[float, int]],
    length: float,
    cut: bool,
    early: bool,
) -> None:
    header, size = headers[which]
    raw = bytearray(header)
    # The beginning and the end of the header hold its structure, the middle a long vocabulary.
    reach = 1500 if early else len(raw)
    for place, bits in changes:
        raw[int(place * reach)] ^= bits
        raw[-1 - int(place * min(reach, 3000))] ^= bits
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(raw)
        file.truncate(int(length * size) if cut else size)
    began = time.process_time()
    _examine(path)
    assert time.process_time() - began < SECONDS


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=400))
def test_any_bytes_behind_the_magic_raise_nothing_but_the_named_error(
    tmp_path: Path, raw: bytes
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + raw)
    with pytest.raises(GgufError):
        check_structure(read_gguf(path))


def test_texts_of_a_vocabulary_are_passed_over(tmp_path: Path) -> None:
    tokens = [f"token {number}" for number in range(100_000)]
    parts = Parts().instead("tokenizer.ggml.tokens", texts("tokenizer.ggml.tokens", tokens))
    began = time.process_time()
    found = read(tmp_path, parts.raw())
    assert found.metadata["tokenizer.ggml.tokens"] == Array(True, 100_000)
    assert time.process_time() - began < SECONDS
