"""A header whose parts contradict each other is refused before llama.cpp believes it."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from appliance.catalogue import inspection
from appliance.catalogue.errors import GgufError, InspectionError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.gguf import read_gguf
from appliance.catalogue.inspection import inspect
from appliance.catalogue.manifest import read_manifest
from appliance.catalogue.processor import repacked_formats
from appliance.catalogue.structure import check_structure, check_template
from tests.support.gguf_bytes import (
    F32,
    TYPE_F32,
    U32,
    Parts,
    array,
    entry,
    number,
    tensor,
    texts,
    words,
)
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf

ROOT = Path(__file__).parents[3]
TEMPLATE = "tokenizer.chat_template"


def check(folder: Path, parts: Parts) -> ModelFacts:
    path = folder / "model.gguf"
    path.write_bytes(parts.raw())
    return check_structure(read_gguf(path))


def test_the_facts_of_a_model_with_grouped_queries(tmp_path: Path) -> None:
    facts = check(tmp_path, Parts())
    assert (facts.architecture, facts.layers, facts.width, facts.heads) == ("llama", 1, 32, 4)
    assert facts.quantisations == ("Q8_0", "F32")
    assert (facts.cache_keys, facts.cache_values) == (2 * 8, 2 * 8)
    assert (facts.inner, facts.vocabulary, facts.weights) == (64, 3, 384 + 1088)


def test_an_odd_number_of_elements_to_turn_is_refused(tmp_path: Path) -> None:
    """llama.cpp loads such a file, and ends the process when somebody asks it for something."""
    parts = Parts().with_entries(number("llama.rope.dimension_count", 7))
    with pytest.raises(GgufError, match="turns an odd number of elements"):
        check(tmp_path, parts)


def test_head_sizes_of_their_own_and_heads_by_layer(tmp_path: Path) -> None:
    parts = Parts().instead(
        "llama.attention.head_count_kv",
        array("llama.attention.head_count_kv", U32, 1, pack("<I", 3)),
        number("llama.attention.key_length", 10),
        number("llama.attention.value_length", 6),
    )
    facts = check(tmp_path, parts)
    assert (facts.cache_keys, facts.cache_values) == (3 * 10, 3 * 6)


def test_experts_count_as_often_as_they_are_used(tmp_path: Path) -> None:
    parts = Parts().with_entries(
        number("llama.expert_count", 8),
        number("llama.expert_used_count", 2),
        number("llama.expert_feed_forward_length", 100),
    )
    assert check(tmp_path, parts).inner == 200


_SIZES = {
    "block_count": 1,
    "embedding_length": 32,
    "context_length": 64,
    "attention.head_count": 4,
    "feed_forward_length": 64,
}


def test_an_encoder_keeps_no_cache(tmp_path: Path) -> None:
    sizes = [number(f"bert.{name}", value) for name, value in _SIZES.items()]
    tokens = texts("tokenizer.ggml.tokens", ["a", "b", "c"])
    parts = Parts(entries=(words("general.architecture", "bert"), *sizes, tokens))
    facts = check(tmp_path, parts)
    assert (facts.cache_keys, facts.cache_values) == (0, 0)


def test_only_multiplied_matrices_are_laid_out_anew(tmp_path: Path) -> None:
    shape = Shape(width=64, inner=128, layers=1, four_bit=True)
    moved = {}
    for tied in (False, True):
        path = tmp_path / "model.gguf"
        write_tiny_gguf(path, Shape(**{**vars(shape), "tied": tied}))
        moved[tied] = check_structure(read_gguf(path), {"Q4_0"}).repacked
    layer = (4 * 64 * 64 + 3 * 64 * 128) // 32 * 18
    embedding = 512 * 64 // 32 * 18
    assert moved == {False: layer + embedding, True: layer + embedding}


def test_the_processor_decides_what_is_laid_out_anew(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 sse\n")
    assert repacked_formats(cpuinfo) == {"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"}
    assert repacked_formats(tmp_path / "none") == frozenset()


LLAMA = "llama.block_count"
WRONG = {
    "no architecture": (Parts().instead("general.architecture"), "general.architecture"),
    "an architecture with a path": (
        Parts().instead("general.architecture", words("general.architecture", "../llama")),
        "general.architecture",
    ),
    "no layers": (Parts().instead(LLAMA), f"lacks '{LLAMA}'"),
    "0 layers": (Parts().instead(LLAMA, number(LLAMA, 0)), "from 1 to 512"),
    "513 layers": (Parts().instead(LLAMA, number(LLAMA, 513)), "from 1 to 512"),
    "layers as a float": (Parts().instead(LLAMA, entry(LLAMA, F32, bytes(4))), "from 1 to 512"),
    "an absurd width": (
        Parts().instead("llama.embedding_length", number("llama.embedding_length", 1 << 31)),
        "'llama.embedding_length' is no number",
    ),
    "another width": (
        Parts().instead("llama.embedding_length", number("llama.embedding_length", 64)),
        "'token_embd.weight' is not 64 wide",
    ),
    "no context": (Parts().instead("llama.context_length"), "lacks 'llama.context_length'"),
    "heads for two layers of three": (
        Parts()
        .instead(LLAMA, number(LLAMA, 3))
        .instead(
            "llama.attention.head_count",
            array("llama.attention.head_count", U32, 2, pack("<2I", 4, 4)),
        ),
        "'llama.attention.head_count' has 2 entries for 3 layers",
    ),
    "a tensor of no layer": (
        Parts()
        .instead(LLAMA)
        .with_entries(number(LLAMA, 1))
        .but(
            tensors=(Parts().tensors[0], tensor("blk.1.attn_q.weight", (32,), TYPE_F32, 384)),
            data_bytes=384 + 128,
        ),
        "'blk.1.attn_q.weight' is of a layer beyond the 1",
    ),
    "no embedding": (
        Parts(tensors=(tensor("output.weight", (32, 3), TYPE_F32, 0),), data_bytes=384),
        "has no tensor 'token_embd.weight'",
    ),
    "more tokens than rows": (
        Parts().instead(
            "tokenizer.ggml.tokens", texts("tokenizer.ggml.tokens", ["a", "b", "c", "d"])
        ),
        "has 4 tokens, tensor 'token_embd.weight' 3",
    ),
    "fewer scores than tokens": (
        Parts().with_entries(array("tokenizer.ggml.scores", F32, 2, bytes(8))),
        "'tokenizer.ggml.scores' has 2 entries for 3 tokens",
    ),
    "two experts of none": (
        Parts().with_entries(number("llama.expert_used_count", 2)),
        "more experts for a token than it has",
    ),
    "no tensors": (Parts(tensors=(), data_bytes=0), "has no tensors"),
    "a part of a split model": (
        Parts().with_entries(number("split.count", 3), number("split.no", 1)),
        "part 2 of a model split into 3 files; bring all parts in",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_contradiction_is_refused_by_name(tmp_path: Path, name: str) -> None:
    parts, complaint = WRONG[name]
    with pytest.raises(GgufError, match=complaint) as caught:
        check(tmp_path, parts)
    assert str(caught.value).startswith("model.gguf: ")


@pytest.mark.parametrize("source", ["{% if %}", "{{", "{{" + "(" * 3000 + "1" + ")" * 3000 + "}}"])
def test_a_template_that_does_not_compile_is_refused(tmp_path: Path, source: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(Parts().instead(TEMPLATE, words(TEMPLATE, source)).raw())
    found = read_gguf(path)
    with pytest.raises(GgufError, match=r"chat template is refused .*\[template\]"):
        check_template(found, None)
    check_template(found, "{{ 1 }}")
    with pytest.raises(GgufError, match="chat template is refused"):
        check_template(found, source)


def test_a_template_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(Parts().instead(TEMPLATE, number(TEMPLATE, 1)).raw())
    with pytest.raises(GgufError, match="no text of at most"):
        check_template(read_gguf(path), None)


def test_the_demo_model_passes() -> None:
    facts = inspect(read_manifest(ROOT / "models/demo.toml"), ROOT / "models")
    assert (facts.architecture, facts.layers, facts.vocabulary) == ("llama", 5, 8192)
    assert facts.quantisations == ("Q8_0", "F32")


def test_a_bad_file_is_refused_through_the_other_process(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\x03")
    manifest = read_manifest(write_manifest(tmp_path, "bad", "0" * 64))
    with pytest.raises(GgufError, match=r"bad\.gguf: is cut off in its header, at version"):
        inspect(manifest, tmp_path)


def test_a_template_is_only_checked_where_it_is_used(tmp_path: Path) -> None:
    source = Parts().instead(TEMPLATE, words(TEMPLATE, "{% if %}")).raw()
    (tmp_path / "model.gguf").write_bytes(source)
    manifest = read_manifest(write_manifest(tmp_path, "model", "0" * 64))
    with pytest.raises(GgufError, match="chat template is refused"):
        inspect(manifest, tmp_path)
    assert (
        inspect(manifest.model_copy(update={"capabilities": ("complete",)}), tmp_path).layers == 1
    )


def test_a_look_that_takes_too_long_is_a_named_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(Parts().raw())
    manifest = read_manifest(write_manifest(tmp_path, "model", "0" * 64))
    monkeypatch.setattr(inspection, "_SECONDS", 0.001)
    with pytest.raises(InspectionError, match=r"model\.gguf: looking into it took too much"):
        inspect(manifest, tmp_path)
