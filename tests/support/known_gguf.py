"""A GGUF with the head of a known model: what it says of itself is right, its weights are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from appliance.catalogue.known.head import Array
from appliance.catalogue.known.profile import KnownModel


def known_metadata(model: KnownModel, changes: Mapping[str, object]) -> dict[str, object]:
    """The metadata that a converter would give `model`; `changes` win."""
    shape = model.shape
    numbers = {
        "context_length": model.context,
        "block_count": shape.layers,
        "embedding_length": shape.width,
        "feed_forward_length": shape.inner,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        **({"expert_count": shape.experts} if shape.experts > 1 else {}),
    }
    return {
        "general.architecture": model.family,
        "general.file_type": 15,
        "tokenizer.ggml.tokens": Array(True, shape.vocabulary),
        **{f"{model.family}.{key}": value for key, value in numbers.items()},
        **changes,
    }


def write_known_gguf(path: Path, model: KnownModel, changes: Mapping[str, object]) -> None:
    """Write a file with that metadata and one small tensor."""
    writer = gguf.GGUFWriter(path, str(changes.get("general.architecture", model.family)))
    for key, value in known_metadata(model, changes).items():
        if isinstance(value, Array):
            writer.add_array(key, ["x"] * value.count)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif key != "general.architecture":
            writer.add_string(key, str(value))
    writer.add_tensor("token_embd.weight", np.zeros((4, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
