"""Where the models that `make architectures` makes lie, and what transformers said of each."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
_SOURCES = (
    "tests/architectures/make.py",
    "tests/architectures/shapes.py",
    "tests/architectures/vocabularies.py",
    "models/demo/recipe/converter.py",
    "requirements/transformers.txt",
)
PLAIN = (
    "llama-2",
    "codellama",
    "mistral",
    "mixtral",
    "orca-2",
    "llama-3",
    "smollm-2",
    "qwen-2.5",
    "qwen-3",
    "phi-3",
)
# GELU comes from a table of half precision in llama.cpp. For gpt-oss it rounds the ends of the
# range in which frequencies are blended, where the publisher does not.
ROUNDED = ("phi-2", "gemma-2", "gemma-3", "gpt-oss")
ENCODERS = ("distilbert", "tinybert")
TRANSLATORS = ("t5-small", "flan-t5")

COMPLETE = "COMPLETE"
"""A file that is written when all models are there."""


def folder() -> Path:
    """The folder of all models: in the user's cache, since making them takes minutes.

    Its name is a digest of all that decides about the models, so a change makes them anew.
    """
    digest = hashlib.sha256()
    for source in _SOURCES:
        digest.update((ROOT / source).read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "cloister/architectures" / digest.hexdigest()[:32]


@dataclass(frozen=True)
class Peer:
    """What transformers computed in single precision, of one prompt.

    Args:
        tokens: of the prompt; of an encoder-decoder, the text that is read.
        answer: tokens before which the logits were taken; none but of an encoder-decoder.
        logits: one row a token (of the answer, if there is one); of a classifier one row.
        states: final states of an encoder, one row a token.
        continued: what the model goes on with, always taking the likeliest.
    """

    tokens: list[int]
    answer: list[int]
    logits: NDArray[np.float32]
    states: NDArray[np.float32]
    continued: list[int]


def weights(name: str) -> Path:
    """The converted model, in single precision."""
    return folder() / f"{name}.gguf"


def peer(name: str) -> Peer:
    """What transformers says of a model."""
    with np.load(folder() / f"{name}.npz") as stored:
        return Peer(
            tokens=stored["tokens"].tolist(),
            answer=stored["answer"].tolist(),
            logits=stored["logits"],
            states=stored["states"],
            continued=stored["continued"].tolist(),
        )


if __name__ == "__main__":
    print(folder())
