"""Which architectures read, which write, and what a model of each can be asked.

Names as in llama.cpp. What is not listed writes token by token.
"""

from __future__ import annotations

from enum import StrEnum

from appliance.catalogue.manifest import Capability


class Nature(StrEnum):
    """How a model works."""

    DECODER = "decoder"  # goes on with a text
    ENCODER = "encoder"  # sees a whole text at once and keeps nothing of it
    ENCODER_DECODER = "encoder-decoder"  # reads a text with one half, answers with the other


_ENCODERS = frozenset(
    (
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
    )
)
_ENCODER_DECODERS = frozenset(("t5",))
_ABLE: dict[Nature, tuple[Capability, ...]] = {
    Nature.DECODER: ("chat", "complete", "infill", "summarise"),
    Nature.ENCODER: ("embed", "classify"),
    Nature.ENCODER_DECODER: ("complete", "summarise"),
}


def nature_of(architecture: str) -> Nature:
    """How a model of an architecture works."""
    if architecture in _ENCODERS:
        return Nature.ENCODER
    if architecture in _ENCODER_DECODERS:
        return Nature.ENCODER_DECODER
    return Nature.DECODER


def possible_capabilities(architecture: str) -> tuple[Capability, ...]:
    """What a model of an architecture can be asked at most."""
    return _ABLE[nature_of(architecture)]
