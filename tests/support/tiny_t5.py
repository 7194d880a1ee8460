"""Random-weight T5 models in GGUF, for tests: right in form, nonsense in answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

_MARKS = ("<pad>", "</s>", "<unk>")
_WORDS = (
    "the a of and to in is it was for on invoice urgent please pay patient seen today summarize:"
)
_BUCKETS = 32  # of relative positions


@dataclass(frozen=True)
class T5Shape:
    """Size of a model; a gated one has an output matrix of its own, as Flan-T5 has."""

    width: int = 64
    inner: int = 128
    layers: int = 2
    heads: int = 4
    vocabulary: int = 256
    context: int = 128
    gated: bool = False


def write_tiny_t5(path: Path, shape: T5Shape | None = None, seed: int = 1) -> str:
    """Write a model and return its SHA-256.

    Args:
        path: the new file.
        shape: dimensions; `T5Shape()` if None.
        seed: of the weights.
    """
    shape = shape or T5Shape()
    writer = gguf.GGUFWriter(path, "t5")
    _add_sizes(writer, shape)
    _add_vocabulary(writer, shape)
    random = np.random.default_rng(seed)
    for name, rows, columns in _tensors(shape):
        if rows == 0:
            values = np.ones(columns, np.float32)
        else:
            values = random.standard_normal((rows, columns), dtype=np.float32)
            values *= np.float32(1 if name.endswith("rel_b.weight") else columns**-0.5 * 1.5)
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add_sizes(writer: gguf.GGUFWriter, shape: T5Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.inner)
    writer.add_block_count(shape.layers)
    writer.add_decoder_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_key_length(shape.width // shape.heads)
    writer.add_value_length(shape.width // shape.heads)
    writer.add_layer_norm_eps(1e-6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_relative_attn_buckets_count(_BUCKETS)
    writer.add_decoder_start_token_id(0)


def _add_vocabulary(writer: gguf.GGUFWriter, shape: T5Shape) -> None:
    words = ["\u2581", *map(chr, range(97, 123)), *(f"\u2581{word}" for word in _WORDS.split())]
    tokens = [*_MARKS, *words]
    kinds = [gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, gguf.TokenType.UNKNOWN]
    tokens += [f"\u2581w{number}" for number in range(len(tokens), shape.vocabulary)]
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(len(token) < 3) - 1.0 for token in tokens])
    writer.add_token_types([*kinds, *[gguf.TokenType.NORMAL] * (len(tokens) - len(kinds))])
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)


def _tensors(shape: T5Shape) -> Iterator[tuple[str, int, int]]:
    """Name, rows and columns of every tensor; no rows for what is no matrix."""
    width = shape.width
    yield "token_embd.weight", shape.vocabulary, width
    if shape.gated:
        yield "output.weight", shape.vocabulary, width
    for half, attentions in (("enc", ("attn",)), ("dec", ("attn", "cross_attn"))):
        for layer in range(shape.layers):
            block = f"{half}.blk.{layer}"
            for attention in attentions:
                yield f"{block}.{attention}_norm.weight", 0, width
                for part in "qkvo":
                    yield f"{block}.{attention}_{part}.weight", width, width
            if layer == 0:
                yield f"{block}.attn_rel_b.weight", _BUCKETS, shape.heads
            yield f"{block}.ffn_norm.weight", 0, width
            for part in ("up", "gate") if shape.gated else ("up",):
                yield f"{block}.ffn_{part}.weight", shape.inner, width
            yield f"{block}.ffn_down.weight", width, shape.inner
        yield f"{half}.output_norm.weight", 0, width
