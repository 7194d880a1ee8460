"""GGUF files byte by byte, so that a test can get any one of them wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

U8, U32, F32, BOOL, TEXT, ARRAY = 0, 4, 6, 7, 8, 9
TYPE_F32, TYPE_Q8_0 = 0, 8


def text(value: str | bytes) -> bytes:
    """A length and so many bytes."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str | bytes, kind: int, payload: bytes) -> bytes:
    """One entry of the metadata."""
    return text(key) + struct.pack("<I", kind) + payload


def number(key: str, value: int) -> bytes:
    """An entry with an unsigned number of 32 bits."""
    return entry(key, U32, struct.pack("<I", value))


def words(key: str, value: str | bytes) -> bytes:
    """An entry with a text."""
    return entry(key, TEXT, text(value))


def texts(key: str, values: Sequence[str]) -> bytes:
    """An entry with an array of texts."""
    return array(key, TEXT, len(values), b"".join(map(text, values)))


def array(key: str, kind: int, count: int, payload: bytes) -> bytes:
    """An entry with an array that claims `count` elements."""
    return entry(key, ARRAY, struct.pack("<IQ", kind, count) + payload)


def tensor(name: str | bytes, shape: Sequence[int], kind: int, offset: int) -> bytes:
    """One entry of the tensor table."""
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, offset)


@dataclass(frozen=True)
class Parts:
    """A file in parts; `Parts()` is sound, and describes a model of one layer and three tokens."""

    magic: bytes = b"GGUF"
    version: int = 3
    entries: tuple[bytes, ...] = (
        words("general.architecture", "llama"),
        number("llama.block_count", 1),
        number("llama.embedding_length", 32),
        number("llama.context_length", 64),
        number("llama.attention.head_count", 4),
        number("llama.attention.head_count_kv", 2),
        number("llama.feed_forward_length", 64),
        texts("tokenizer.ggml.tokens", ["a", "b", "c"]),
        words("tokenizer.chat_template", "{{ messages[0].content }}"),
    )
    tensors: tuple[bytes, ...] = (
        tensor("token_embd.weight", (32, 3), TYPE_F32, 0),
        tensor("blk.0.attn_q.weight", (32, 32), TYPE_Q8_0, 384),
    )
    data_bytes: int = 384 + 1088
    alignment: int = 32
    entry_count: int | None = None
    tensor_count: int | None = None

    def but(self, **changes: object) -> Self:
        """The same with other parts."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def with_entries(self, *more: bytes) -> Self:
        """The same with more metadata."""
        return self.but(entries=(*self.entries, *more))

    def instead(self, key: str, *entries: bytes) -> Self:
        """The same with other entries in the place of the one called `key`."""
        rest = [each for each in self.entries if not each.startswith(text(key))]
        return self.but(entries=(*rest, *entries))

    def raw(self) -> bytes:
        """The file."""
        counts = (
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.entries) if self.entry_count is None else self.entry_count,
        )
        head = self.magic + struct.pack("<IQQ", self.version, *counts)
        head += b"".join(self.entries) + b"".join(self.tensors)
        return head + bytes(-len(head) % self.alignment) + bytes(self.data_bytes)
