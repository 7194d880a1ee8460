"""What is known of each model hangs together, and the sizes that are computed are the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import pytest
from pydantic import ValidationError

from appliance.catalogue.errors import UnknownModelNameError
from appliance.catalogue.known.library import known_model, known_models
from appliance.catalogue.known.listing import count, gigabytes, row
from appliance.catalogue.known.profile import KnownModel, Quantisation
from appliance.catalogue.known.profile import Shape as KnownShape
from appliance.catalogue.known.sizes import cache_bytes, file_bytes, weight_count
from tests.support.tiny_gguf import Shape, write_tiny_gguf

NAMES = [model.name for model in known_models()]
ASKED_FOR = """
    llama-2-13b llama-2-13b-chat codellama-7b codellama-7b-instruct mistral-7b-instruct-v0.1
    mistral-7b-instruct-v0.2 mistral-7b-instruct-v0.3 mixtral-8x7b mixtral-8x7b-instruct phi-2
    orca-2-7b orca-2-13b distilbert tinybert-4l t5-small llama-3.1-8b-instruct
    llama-3.2-1b-instruct llama-3.2-3b-instruct qwen2.5-0.5b-instruct qwen2.5-7b-instruct
    qwen3-0.6b qwen3-8b gemma-2-2b-it gemma-2-9b-it gemma-3-1b-it gemma-3-4b-it
    phi-3-mini-4k-instruct phi-4 phi-4-mini-instruct smollm2-1.7b-instruct gpt-oss-20b
"""


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> KnownModel:
    return known_model(request.param)


def test_every_model_that_people_ask_for_is_known() -> None:
    assert set(ASKED_FOR.split()) <= set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_an_unknown_name_is_told_what_comes_near() -> None:
    with pytest.raises(UnknownModelNameError, match=r"phi-3-mini-4k-instruct.*model known"):
        known_model("Phi3")
    with pytest.raises(UnknownModelNameError, match=r"'zzz'\. All"):
        known_model("zzz")


def test_the_matrices_are_all_but_a_few_of_the_weights(model: KnownModel) -> None:
    left = model.parameters - weight_count(model.shape)
    # Encoders of this size have a table of positions beside their matrices.
    assert 0 <= left < model.parameters * (0.02 if model.shape.encoder else 0.0006)


def test_fewer_bits_make_a_smaller_file(model: KnownModel) -> None:
    sizes = [file_bytes(model, each) for each in model.quantisations]
    assert sizes == sorted(sizes)
    assert sizes[0] > 0.4 * model.parameters
    if model.quantisations[-1] == "F16":
        assert 2 * model.parameters <= sizes[-1] < 2.3 * model.parameters


# Sizes that people who publish GGUF files state for them, in decimal gigabytes.
PUBLISHED: list[tuple[str, Quantisation, float]] = [
    ("llama-2-13b-chat", "Q4_K_M", 7.87),
    ("llama-2-13b-chat", "Q5_K_M", 9.23),
    ("mistral-7b-instruct-v0.2", "Q4_K_M", 4.37),
    ("mistral-7b-instruct-v0.2", "Q5_K_M", 5.13),
    ("mistral-7b-instruct-v0.2", "Q8_0", 7.70),
    ("llama-3.1-8b-instruct", "Q4_K_M", 4.92),
    ("qwen2.5-0.5b-instruct", "Q4_K_M", 0.398),
    ("gemma-2-2b-it", "Q4_K_M", 1.71),
    ("phi-2", "Q4_K_M", 1.79),
    ("phi-3-mini-4k-instruct", "Q4_K_M", 2.39),
    ("gpt-oss-20b", "MXFP4", 12.1),
]


@pytest.mark.parametrize(("name", "quantisation", "size"), PUBLISHED)
def test_a_computed_size_is_the_published_one(
    name: str, quantisation: Quantisation, size: float
) -> None:
    assert file_bytes(known_model(name), quantisation) / 1e9 == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize(("quantisation", "number"), [("Q4_K_M", 15), ("Q5_K_M", 17), ("Q8_0", 7)])
@pytest.mark.parametrize("width", [256, 320])  # 320: rows do not divide into blocks of 256
def test_a_computed_size_is_what_llama_cpp_writes(
    tmp_path: Path, width: int, quantisation: Quantisation, number: int
) -> None:
    shape = Shape(width=width, inner=768, layers=8, heads=width // 64)
    write_tiny_gguf(tmp_path / "f32.gguf", shape)
    small = tmp_path / "small.gguf"
    params = lib.llama_model_quantize_default_params()
    params.ftype, params.nthread = number, 1
    paths = [str(path).encode() for path in (tmp_path / "f32.gguf", small)]
    assert lib.llama_model_quantize(*paths, params) == 0
    matrices = KnownShape(
        layers=8,
        width=width,
        inner=768,
        heads=shape.heads,
        kv_heads=shape.heads,
        head_width=64,
        vocabulary=shape.vocabulary,
    )
    tiny = known_model("llama-2-13b").model_copy(
        update={"shape": matrices, "parameters": weight_count(matrices)}
    )
    assert file_bytes(tiny, quantisation) == pytest.approx(small.stat().st_size, rel=0.02)


def test_the_cache_of_a_token_is_keys_and_values_of_every_layer() -> None:
    assert cache_bytes(known_model("llama-2-13b").shape) == 2 * 40 * 5120 * 2
    assert cache_bytes(known_model("mistral-7b-v0.1").shape) == 2 * 32 * 1024 * 2
    assert cache_bytes(known_model("distilbert").shape) == 0
    assert cache_bytes(known_model("t5-small").shape) == 2 * 6 * 512 * 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"licence": "LicenseRef-Mine"}, "licence_text"),
        ({"licence": "MIT", "licence_text": "https://example.org"}, "licence_text"),
        ({"capabilities": ["complete"]}, "format"),
        ({"capabilities": ["chat", "infill"]}, "infill tokens"),
        ({"good_for": "no sentence"}, "good_for"),
        ({"names": ["("]}, "no regular expression"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(changes: dict[str, Any], named: str) -> None:
    whole = known_model("phi-4").model_dump()
    with pytest.raises(ValidationError, match=named):
        KnownModel.model_validate({**whole, **changes})


def test_programs_get_every_size_in_bytes() -> None:
    facts = row(known_model("mistral-7b-instruct-v0.3"))
    assert set(facts["files"]) == {"Q4_K_M", "Q5_K_M", "Q8_0", "F16"}
    assert facts["format"]["name"] == "mistral-v3"
    assert facts["cache_bytes_per_token"] == 131_072


def test_numbers_for_people() -> None:
    assert [count(14_350_248), count(999_885_952), count(46_702_792_704)] == [
        "14 M",
        "1.0 B",
        "46.7 B",
    ]
    assert [gigabytes(397_000_000), gigabytes(4_368_000_000)] == ["397 MB", "4.4 GB"]
