"""The Llama architecture in plain PyTorch, written for speed on two CPU cores.

It computes what `transformers.LlamaForCausalLM` computes (the export step asserts it), with two
differences that matter here: the elementwise work stays in bfloat16, and logits are only computed
at the positions that are trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

ROPE_BASE = 1_000_000.0
NORM_EPS = 1e-5


@dataclass(frozen=True)
class Shape:
    """Dimensions of the network; every width is a multiple of 32 because of Q8_0 blocks."""

    vocabulary: int = 8192
    width: int = 256
    inner: int = 512
    layers: int = 5
    heads: int = 4
    context: int = 4096

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


class RMSNorm(nn.Module):
    """Root-mean-square norm with a learned gain."""

    def __init__(self, width: int) -> None:
        """Start with a gain of one."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Normalise over the last dimension."""
        scale = torch.rsqrt(hidden.float().square().mean(-1, keepdim=True) + NORM_EPS)
        return hidden * scale.to(hidden.dtype) * self.weight.to(hidden.dtype)


def rope_tables(shape: Shape, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and signed-sine tables for rotary positions 0..length-1, halves convention."""
    half = shape.head_width // 2
    inverse = ROPE_BASE ** (-torch.arange(half, dtype=torch.float32) / half)
    angles = torch.arange(length, dtype=torch.float32)[:, None] * inverse[None, :]
    cosine = torch.cat([angles.cos(), angles.cos()], dim=-1)
    sine = torch.cat([-angles.sin(), angles.sin()], dim=-1)
    return cosine, sine


def rotate(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Apply rotary positions to (batch, heads, length, head_width)."""
    return heads * cosine + heads.roll(heads.shape[-1] // 2, dims=-1) * sine


class Layer(nn.Module):
    """One pre-norm block: attention, then a gated feed-forward."""

    def __init__(self, shape: Shape) -> None:
        """Make the matrices of the block."""
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.head_width = shape.head_width
        self.attention_norm = RMSNorm(width)
        self.mlp_norm = RMSNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, shape.inner, bias=False)
        self.up = nn.Linear(width, shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, width, bias=False)

    def forward(
        self, hidden: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> torch.Tensor:
        """Run the block on (batch, length, width)."""
        batch, length, width = hidden.shape
        normed = self.attention_norm(hidden)
        query, key, value = (
            linear(normed).view(batch, length, self.heads, self.head_width).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        normed = self.mlp_norm(hidden)
        return hidden + self.down(functional.silu(self.gate(normed)) * self.up(normed))


class Network(nn.Module):
    """The whole decoder with tied embeddings."""

    def __init__(self, shape: Shape) -> None:
        """Make all blocks, with small random weights."""
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width)
        cosine, sine = rope_tables(shape, shape.context)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for layer in self.layers:
            for linear in (layer.out, layer.down):
                nn.init.normal_(linear.weight, std=0.02 / (2 * shape.layers) ** 0.5)

    def hidden(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Final hidden states of (batch, length) token ids at rotary positions."""
        states = self.embedding(ids)
        if torch.is_autocast_enabled("cpu"):
            states = states.bfloat16()
        cosine = self.cosine[positions].unsqueeze(1).to(states.dtype)
        sine = self.sine[positions].unsqueeze(1).to(states.dtype)
        for layer in self.layers:
            states = layer(states, cosine, sine)
        return self.norm(states)

    def forward(
        self, ids: torch.Tensor, positions: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """Logits at the flat positions `rows` of the batch."""
        states = self.hidden(ids, positions).reshape(-1, self.shape.width)[rows]
        return functional.linear(states, self.embedding.weight)
