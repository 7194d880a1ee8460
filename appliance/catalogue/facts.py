"""What the engine has to know about a model before it loads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFacts:
    """Sizes that a checked weights file states.

    Args:
        architecture: llama.cpp's name of it.
        quantisations: number formats of the tensors, the one with most bytes first.
        context: tokens that the model was trained for.
        layers: transformer blocks.
        width: elements that stand for a token between two layers.
        inner: elements that its widest feed-forward part makes of a token, all experts together.
        heads: attention heads.
        head_width: elements of one head.
        cache_keys: elements of one token's keys in all layers; 0 for a model without cache.
        cache_values: the same of its values.
        vocabulary: tokens.
        merges: rules by which the vocabulary joins tokens.
        weights: bytes of all tensors.
        repacked: bytes of those that llama.cpp lays out anew for this processor, beside the file.
    """

    architecture: str
    quantisations: tuple[str, ...]
    context: int
    layers: int
    width: int
    inner: int
    heads: int
    head_width: int
    cache_keys: int
    cache_values: int
    vocabulary: int
    merges: int
    weights: int
    repacked: int
