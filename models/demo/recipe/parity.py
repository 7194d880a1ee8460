"""Checks that llama.cpp cuts texts into the ids that SentencePiece gave in training.

The export step writes the texts with their ids; this module reads them in the run-time environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

from models.demo.recipe import dataset

ODD = (
    "  two  spaces   here", "\t\ttabs\tand\n\n\nnewlines\n", "emoji 😀🎉 é ü ß 漢字 العربية",
    " leading",
    "trailing ", "", "[NAME][DATE] [ID]\n[PHONE]",
    "\r\nCRLF\r\n", "a\u00a0b\u200bc", "£€$¥", "   ",
    "\n", " \n ", "don't “quotes” — dash…", "<|im_start|>user\n hi<|im_end|>",
)  # fmt: skip
ALPHABET = " \n\tabcXYZ019.,-–é😀漢[]{}\"':€"  # noqa: RUF001 - the dash is meant


class TokenizerMismatchError(Exception):
    """llama.cpp tokenises a text unlike the tokenizer of the training."""


def texts() -> list[str]:
    """A few hundred texts: examples with their chat markers, odd ones, and random characters."""
    rng = Random(3)  # noqa: S311 - synthetic text, not secrets
    drawn = ["".join(dataset.render(item)) for item in dataset.examples("parity", 0, 200)]
    noise = ["".join(rng.choices(ALPHABET, k=rng.randint(1, 60))) for _ in range(200)]
    return [*drawn, *ODD, *noise]


def check(vectors: Path, gguf: Path) -> None:
    """Compare every text of `vectors`, a JSON list of [text, ids]."""
    import llama_cpp

    model = llama_cpp.Llama(str(gguf), vocab_only=True, verbose=False)
    pairs = json.loads(vectors.read_text(encoding="utf-8"))
    for text, ids in pairs:
        if model.tokenize(text.encode(), add_bos=False, special=True) != ids:
            raise TokenizerMismatchError(repr(text))
    print(f"{len(pairs)} texts tokenised alike")


if __name__ == "__main__":
    check(Path(sys.argv[1]), Path(sys.argv[2]))
