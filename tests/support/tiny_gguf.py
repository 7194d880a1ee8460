"""Random-weight Llama models in GGUF, for tests: right in form, nonsense in answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTROL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")
_WORDS = (
    "the a of and to in is it was for on that with as at by this from or are user system assistant"
)


@dataclass(frozen=True)
class Shape:
    """Size of a model: widths in elements, `quantised` for Q8_0 instead of F32 matrices.

    `kv_heads` below `heads` is grouped-query attention (0: as many as heads); `four_bit` takes
    Q4_0, which llama.cpp lays out anew for the processor; `tied` leaves the output matrix out.
    """

    width: int = 64
    inner: int = 128
    layers: int = 2
    heads: int = 2
    vocabulary: int = 512
    context: int = 512
    quantised: bool = False
    kv_heads: int = 0
    four_bit: bool = False
    tied: bool = False

    @property
    def kv_width(self) -> int:
        """Elements of one token's keys, and of its values, in one layer."""
        return self.width // self.heads * (self.kv_heads or self.heads)


DEMO_SIZE = Shape(256, 640, 6, 4, 4096, 4096, quantised=True)
BILLION = Shape(2048, 5632, 22, 16, 32000, 4096, quantised=True)


def write_tiny_gguf(
    path: Path,
    shape: Shape | None = None,
    seed: int = 1,
    template: str | None = CHATML,
    pieces: Iterable[str] = (),
    control: Sequence[str] = (),
    space_prefix: bool = False,
    more: Callable[[gguf.GGUFWriter], None] = lambda _writer: None,
) -> str:
    """Write a model and return its SHA-256.

    Args:
        path: the new file.
        shape: dimensions; `Shape()` if None.
        seed: of the weights.
        template: chat template in the metadata, or None for a model without one.
        pieces: further plain tokens of the vocabulary.
        control: further control tokens; the first has number 5.
        space_prefix: the tokenizer puts a space before each text.
        more: adds what else the metadata shall hold.
    """
    shape = shape or Shape()
    writer = gguf.GGUFWriter(path, "llama")
    _add_metadata(writer, shape)
    _add_vocabulary(writer, shape, pieces, control)
    writer.add_add_space_prefix(space_prefix)
    more(writer)
    if template is not None:
        writer.add_chat_template(template)
    random = np.random.default_rng(seed)
    for name, rows, columns in _tensors(shape):
        _add_tensor(writer, random, shape, name, rows, columns)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(
    models: Path, name: str, sha256: str, **changes: str | int | tuple[str, ...]
) -> Path:
    """Write `models/<name>.toml` for `models/<name>.gguf`; `changes` replace or add fields."""
    fields: dict[str, str | int | tuple[str, ...]] = {
        "name": name,
        "title": f"Test model {name}",
        "family": "llama",
        "parameters": 100_000,
        "licence": "Apache-2.0",
        "file": f"{name}.gguf",
        "sha256": sha256,
        "quantisation": "F32",
        "context": 256,
        **changes,
    }
    lines = [
        f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}"
        for key, value in fields.items()
    ]
    path = models / f"{name}.toml"
    path.write_text("\n".join(lines) + '\nstop = ["<|im_end|>"]\n')
    return path


def _add_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads or shape.heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_vocab_size(shape.vocabulary)


def _vocabulary(pieces: Iterable[str], control: Sequence[str]) -> Iterator[tuple[str, int]]:
    yield "<unk>", gguf.TokenType.UNKNOWN
    for text in (*CONTROL, *control):
        yield text, gguf.TokenType.CONTROL
    for byte in range(256):
        yield f"<0x{byte:02X}>", gguf.TokenType.BYTE
    plain = ["\u2581", "\n", *map(chr, range(33, 127)), *pieces]
    for word in _WORDS.split():
        for end in range(2, len(word) + 1):
            plain += [word[:end], "\u2581" + word[:end]]
        plain.append("\u2581" + word[0])
    for text in dict.fromkeys(plain):
        yield text, gguf.TokenType.NORMAL


def _add_vocabulary(
    writer: gguf.GGUFWriter, shape: Shape, pieces: Iterable[str], control: Sequence[str]
) -> None:
    entries = list(_vocabulary(pieces, control))[: shape.vocabulary]
    entries += [
        (f"[{number}]", gguf.TokenType.NORMAL) for number in range(len(entries), shape.vocabulary)
    ]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in entries])
    writer.add_token_scores([float(-number) for number in range(len(entries))])
    writer.add_token_types([kind for _, kind in entries])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(4)
    writer.add_add_bos_token(True)


def _tensors(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """Name, rows and columns of every tensor; one row and no matrix for the norms."""
    yield "token_embd.weight", shape.vocabulary, shape.width
    if not shape.tied:
        yield "output.weight", shape.vocabulary, shape.width
    yield "output_norm.weight", 0, shape.width
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", 0, shape.width
        yield f"{block}.ffn_norm.weight", 0, shape.width
        for part in ("attn_q", "attn_output"):
            yield f"{block}.{part}.weight", shape.width, shape.width
        for part in ("attn_k", "attn_v"):
            yield f"{block}.{part}.weight", shape.kv_width, shape.width
        yield f"{block}.ffn_gate.weight", shape.inner, shape.width
        yield f"{block}.ffn_up.weight", shape.inner, shape.width
        yield f"{block}.ffn_down.weight", shape.width, shape.inner


def _add_tensor(
    writer: gguf.GGUFWriter,
    random: np.random.Generator,
    shape: Shape,
    name: str,
    rows: int,
    columns: int,
) -> None:
    if rows == 0:
        writer.add_tensor(name, np.ones(columns, dtype=np.float32))
    elif shape.four_bit:
        writer.add_tensor(
            name, _random_q4(random, rows, columns), raw_dtype=gguf.GGMLQuantizationType.Q4_0
        )
    elif not shape.quantised:
        values = random.standard_normal((rows, columns), dtype=np.float32)
        writer.add_tensor(name, values * np.float32(columns**-0.5 * 2))
    else:
        writer.add_tensor(
            name,
            _random_q8(random, rows, columns),
            raw_dtype=gguf.GGMLQuantizationType.Q8_0,
        )


def _random_q8(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Random blocks of 32 eight-bit integers behind a half-precision scale (ggml's Q8_0)."""
    blocks = rows * columns // 32
    out = np.empty((blocks, 34), dtype=np.uint8)
    scale = np.float16(2 * columns**-0.5 / 73)  # 73: deviation of a uniform eight-bit integer
    out[:, :2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
    out[:, 2:] = random.integers(0, 256, (blocks, 32), dtype=np.uint8)
    return out.reshape(rows, columns // 32 * 34)


def _random_q4(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Random blocks of 32 four-bit integers behind a half-precision scale (ggml's Q4_0)."""
    out = np.empty((rows * columns // 32, 18), dtype=np.uint8)
    scale = np.float16(2 * columns**-0.5 / 4.6)  # 4.6: deviation of a uniform four-bit integer
    out[:, :2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
    out[:, 2:] = random.integers(0, 256, (len(out), 16), dtype=np.uint8)
    return out.reshape(rows, columns // 32 * 18)
