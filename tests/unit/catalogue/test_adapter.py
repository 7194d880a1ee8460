"""An adapter is taken only if it fits its base, and holds nothing that llama.cpp trips over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from appliance.catalogue.adapter import AdapterFacts, check_adapter
from appliance.catalogue.errors import GgufError, ManifestError
from appliance.catalogue.gguf import read_gguf
from appliance.catalogue.inspection import inspect_adapter
from appliance.catalogue.manifest import read_manifest
from tests.support.tiny_gguf import Shape, write_tiny_gguf
from tests.support.tiny_lora import RANK, lora_pairs, write_adapter_manifest, write_lora

QUERY = "blk.0.attn_q.weight"
WIDTH = Shape().width


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    write_tiny_gguf(path)
    return path


def check(base: Path, adapter: Path) -> AdapterFacts:
    return check_adapter(read_gguf(adapter), read_gguf(base))


def test_an_adapter_that_fits_tells_its_sizes(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "adapter.gguf"
    write_lora(path)
    facts = check(base, path)
    pairs = lora_pairs(Shape(), 1)
    assert (facts.architecture, facts.rank, facts.pairs) == ("llama", RANK, len(pairs))
    assert facts.parameters == sum(one.size + two.size for one, two in pairs.values())
    assert facts.size == 4 * facts.parameters
    assert inspect_adapter(path, base) == facts


def test_a_model_is_no_adapter_and_an_adapter_no_model(base: Path, tmp_path: Path) -> None:
    with pytest.raises(GgufError, match=r"base\.gguf: is no adapter.*without --base"):
        inspect_adapter(base, base)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=np.float32)


def changed(**pairs: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    return {"pairs": {name.replace("__", "."): pair for name, pair in pairs.items()}}


def key(write: Callable[[gguf.GGUFWriter], None]) -> dict[str, Any]:
    return {"more": write}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "model"}, "is no adapter"),
        ({"adapter_type": "other"}, "is no LoRA adapter"),
        ({"architecture": "qwen2"}, "is for the architecture 'qwen2'"),
        (
            key(lambda w: w.add_array("adapter.alora.invocation_tokens", [1, 2])),
            "is an activated LoRA",
        ),
        ({"alpha": lambda w: w.add_float64("adapter.lora.alpha", 8.0)}, "no positive float of 32"),
        ({"alpha": lambda w: w.add_uint32("adapter.lora.alpha", 8)}, "lacks 'adapter.lora.alpha'"),
        ({"alpha": lambda _: None}, "lacks 'adapter.lora.alpha'"),
        ({"alpha": lambda w: w.add_float32("adapter.lora.alpha", np.nan)}, "no positive float"),
        ({"alpha": lambda w: w.add_float32("adapter.lora.alpha", -1.0)}, "no positive float"),
        ({"alpha": lambda w: w.add_float32("adapter.lora.alpha", 1e9)}, "times its rank"),
        (
            key(lambda w: w.add_tensor("blk.0.attn_norm.weight", zeros(WIDTH))),
            "'blk.0.attn_norm.weight' is no part of a LoRA pair",
        ),
        (
            key(lambda w: w.add_tensor("blk.0.attn_v.weight.lora_a", zeros(RANK, WIDTH))),
            "no tensor 'blk.0.attn_v.weight.lora_b', only the other",
        ),
        (
            changed(blk__7__attn_q__weight=(zeros(RANK, WIDTH), zeros(WIDTH, RANK))),
            "changes 'blk.7.attn_q.weight', which base.gguf does not have",
        ),
        (
            changed(token_embd__weight=(zeros(RANK, 512), zeros(WIDTH, RANK))),
            "changes the token embedding",
        ),
        (
            changed(output_norm__weight=(zeros(RANK, WIDTH), zeros(WIDTH, RANK))),
            "changes 'output_norm.weight', which is no matrix",
        ),
        (
            changed(blk__0__attn_q__weight=(zeros(RANK, 32), zeros(WIDTH, RANK))),
            "'blk.0.attn_q.weight.lora_a' has the shape",
        ),
        (
            changed(blk__0__attn_q__weight=(zeros(RANK, WIDTH), zeros(WIDTH, RANK + 1))),
            "'blk.0.attn_q.weight.lora_b' has the shape",
        ),
        (
            changed(blk__0__attn_q__weight=(zeros(2, RANK, WIDTH), zeros(2, WIDTH, RANK))),
            "'blk.0.attn_q.weight.lora_a' has the shape",
        ),
        (
            changed(blk__0__attn_q__weight=(zeros(128, WIDTH), zeros(WIDTH, 128))),
            "are wider than the matrix",
        ),
        (
            changed(
                blk__0__attn_q__weight=(
                    np.zeros((RANK, WIDTH), dtype=np.float64),
                    zeros(WIDTH, RANK),
                )
            ),
            "is stored as F64",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    base: Path, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "adapter.gguf"
    write_lora(path, **changes)
    with pytest.raises(GgufError, match=r"adapter\.gguf: .*") as caught:
        check(base, path)
    assert complaint in str(caught.value)


def test_an_adapters_manifest_names_its_base(tmp_path: Path) -> None:
    manifest = read_manifest(write_adapter_manifest(tmp_path, "terse", "0" * 64, "tiny"))
    assert manifest.base == "tiny"


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('stop = ["x"]\n', "stop: an adapter has none of its own"),
        ('[template]\nchat = "x"\n', "template: an adapter has none of its own"),
    ],
)
def test_an_adapter_has_no_prompt_format_of_its_own(
    tmp_path: Path, more: str, complaint: str
) -> None:
    path = write_adapter_manifest(tmp_path, "terse", "0" * 64, "tiny")
    path.write_text(path.read_text() + more)
    with pytest.raises(ManifestError, match=complaint):
        read_manifest(path)


def test_an_adapter_is_not_its_own_base(tmp_path: Path) -> None:
    path = write_adapter_manifest(tmp_path, "terse", "0" * 64, "terse")
    with pytest.raises(ManifestError, match="its own base"):
        read_manifest(path)
