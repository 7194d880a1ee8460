"""Random LoRA adapters in GGUF for the models of `tests.support.tiny_gguf`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np

from tests.support.tiny_gguf import Shape

RANK = 4
ALPHA = 8.0

Pair = tuple[np.ndarray, np.ndarray]


def lora_pairs(shape: Shape, seed: int, strength: float = 0.3) -> dict[str, Pair]:
    """Matrices for queries and the feed-forward part of every layer, by the name of their base."""
    random = np.random.default_rng(seed)

    def pair(columns: int, rows: int) -> Pair:
        first = random.standard_normal((RANK, columns), dtype=np.float32) * columns**-0.5
        second = random.standard_normal((rows, RANK), dtype=np.float32) * strength
        return first.astype(np.float32), second.astype(np.float32)

    made = {}
    for layer in range(shape.layers):
        made[f"blk.{layer}.attn_q.weight"] = pair(shape.width, shape.width)
        made[f"blk.{layer}.ffn_down.weight"] = pair(shape.inner, shape.width)
    return made


def write_lora(
    path: Path,
    pairs: Mapping[str, Pair] | None = None,
    seed: int = 1,
    *,
    architecture: str = "llama",
    kind: str = "adapter",
    adapter_type: str = "lora",
    alpha: Callable[[gguf.GGUFWriter], None] | None = None,
    more: Callable[[gguf.GGUFWriter], None] = lambda _writer: None,
) -> str:
    """Write an adapter and return its SHA-256.

    Args:
        path: the new file.
        pairs: `lora_a` and `lora_b` by the name of what they change; those of `Shape()` if None.
        seed: of the matrices, where none are given.
        architecture, kind, adapter_type: texts of the metadata.
        alpha: writes the strength; a float of 32 bits if None.
        more: adds what else the file shall hold.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("general.type", kind)
    writer.add_string("adapter.type", adapter_type)
    if alpha is None:
        writer.add_float32("adapter.lora.alpha", ALPHA)
    else:
        alpha(writer)
    for name, (first, second) in (pairs or lora_pairs(Shape(), seed)).items():
        writer.add_tensor(f"{name}.lora_a", first)
        writer.add_tensor(f"{name}.lora_b", second)
    more(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_adapter_manifest(
    models: Path, name: str, sha256: str, base: str, **changes: str | int | bool
) -> Path:
    """Write `models/<name>.toml` for `models/<name>.gguf`; `changes` replace or add fields."""
    fields: dict[str, str | int | bool] = {
        "name": name,
        "title": f"Test adapter {name}",
        "family": "llama",
        "parameters": 1000,
        "licence": "Apache-2.0",
        "file": f"{name}.gguf",
        "sha256": sha256,
        "quantisation": "F32",
        "context": 256,
        "base": base,
        **changes,
    }
    path = models / f"{name}.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()))
    return path
