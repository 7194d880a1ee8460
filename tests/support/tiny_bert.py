"""Random-weight BERT models in GGUF, for tests: right in form, nonsense in answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

LABELS = ("calm", "urgent", "spam")
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = "the invoice is very urgent please pay a patient was seen today and sent home in of to"


@dataclass(frozen=True)
class BertShape:
    """Size of a model: widths in elements.

    `distilled` leaves out the token types, as DistilBERT does; `pooler` is the dense layer of the
    classification head, which stands before one output a label.
    """

    width: int = 32
    inner: int = 64
    layers: int = 2
    heads: int = 2
    vocabulary: int = 512
    context: int = 128
    labels: tuple[str, ...] = LABELS
    distilled: bool = False
    pooler: bool = True


DISTILBERT = BertShape(768, 3072, 6, 12, 30_522, 512, distilled=True)


def write_tiny_bert(
    path: Path,
    shape: BertShape | None = None,
    seed: int = 1,
    pooling: gguf.PoolingType | None = None,
) -> str:
    """Write a model and return its SHA-256.

    Args:
        path: the new file.
        shape: dimensions; `BertShape()` if None.
        seed: of the weights.
        pooling: that the file names; none if None.
    """
    shape = shape or BertShape()
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    if shape.labels:
        writer.add_classifier_output_labels(list(shape.labels))
    _add_vocabulary(writer, shape)
    random = np.random.default_rng(seed)
    for name, rows, columns in _tensors(shape):
        writer.add_tensor(name, _values(random, name, rows, columns))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _values(random: np.random.Generator, name: str, rows: int, columns: int) -> np.ndarray:
    if rows == 0:
        norm = name.endswith("norm.weight")
        return np.ones(columns, np.float32) if norm else np.zeros(columns, np.float32)
    values = random.standard_normal((rows, columns), dtype=np.float32)
    return values * np.float32(columns**-0.5 * 2)


def _add_vocabulary(writer: gguf.GGUFWriter, shape: BertShape) -> None:
    words = [*map(chr, range(33, 127)), *_WORDS.split()]
    plain: Sequence[str] = list(dict.fromkeys([*("\u2581" + each for each in words), *words]))
    tokens = [*_MARKS, *plain][: shape.vocabulary]
    kinds = [gguf.TokenType.CONTROL] * len(_MARKS)
    tokens += [f"\u2581[{number}]" for number in range(len(tokens), shape.vocabulary)]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("bert-bge")
    writer.add_token_list(tokens)
    writer.add_token_types([*kinds, *[gguf.TokenType.NORMAL] * (len(tokens) - len(kinds))])
    writer.add_token_type_count(1 if shape.distilled else 2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_mask_token_id(4)


def _tensors(shape: BertShape) -> Iterator[tuple[str, int, int]]:
    """Name, rows and columns of every tensor; no rows for what is no matrix."""
    width = shape.width
    yield "token_embd.weight", shape.vocabulary, width
    yield "position_embd.weight", shape.context, width
    if not shape.distilled:
        yield "token_types.weight", 2, width
    yield from _normed("token_embd_norm", width)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield from _dense(f"{block}.{part}", width, width)
        yield from _normed(f"{block}.attn_output_norm", width)
        yield from _dense(f"{block}.ffn_up", shape.inner, width)
        yield from _dense(f"{block}.ffn_down", width, shape.inner)
        yield from _normed(f"{block}.layer_output_norm", width)
    if shape.labels:
        if shape.pooler:
            yield from _dense("cls", width, width)
        yield from _dense("cls.output", len(shape.labels), width)


def _dense(name: str, rows: int, columns: int) -> Iterator[tuple[str, int, int]]:
    yield f"{name}.weight", rows, columns
    yield f"{name}.bias", 0, rows


def _normed(name: str, width: int) -> Iterator[tuple[str, int, int]]:
    yield f"{name}.weight", 0, width
    yield f"{name}.bias", 0, width
