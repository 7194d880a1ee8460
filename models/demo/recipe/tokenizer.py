"""A SentencePiece BPE model with byte fallback, kept such that llama.cpp tokenises identically."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from models.demo.recipe import dataset, tasks

if TYPE_CHECKING:
    import sentencepiece

VOCABULARY = 8192
SAMPLES = 24_000
WHITESPACE = ("\n", "\n\n", "\t")
MODEL = "tokenizer.model"

# A space is glued to a lower-case word only. A name or a number is then cut into the same tokens
# after a space, at the start of a line and inside JSON quotes; copying is learnable that way.
BOUNDARY = re.compile(r"(?<= )(?=[^a-z ])|(?=[€£$+(*#])|[\n\t]+")
LABEL = re.compile(r"\[[A-Z]+\]")
SPECIAL = re.compile(r"<\|im_\w+\|>")


def _corpus() -> Iterator[str]:
    for item in dataset.examples("tokenizer", 0, SAMPLES):
        for text in dataset.render(item):
            for line in SPECIAL.split(LABEL.sub(" ", text)):
                yield from (part for part in BOUNDARY.split(line) if part)


def train(folder: Path) -> Path:
    """Train the tokenizer into `folder` and return the model file."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_corpus(),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        allow_whitespace_only_pieces=True,
        character_coverage=0.9995,
        control_symbols=[dataset.START, dataset.END],
        user_defined_symbols=[*tasks.task("deidentify").labels, *WHITESPACE],
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return folder / MODEL


class Tokenizer:
    """The trained model with the two chat markers."""

    def __init__(self, path: Path) -> None:
        """Load a model file."""
        import sentencepiece

        self.model: sentencepiece.SentencePieceProcessor = sentencepiece.SentencePieceProcessor(
            model_file=str(path)
        )
        self.start = self.model.piece_to_id(dataset.START)
        self.end = self.model.piece_to_id(dataset.END)

    def encode(self, text: str) -> list[int]:
        """Ids of a text in which the chat markers are markers."""
        ids: list[int] = []
        for part in re.split(r"(<\|im_start\|>|<\|im_end\|>)", text):
            if part == dataset.START:
                ids.append(self.start)
            elif part == dataset.END:
                ids.append(self.end)
            elif part:
                ids.extend(self.model.encode(part))
        return ids

    def encode_example(self, item: dataset.Example) -> tuple[list[int], int]:
        """Ids of prompt and answer, and where the answer starts."""
        prompt, answer = (self.encode(part) for part in dataset.render(item))
        return prompt + answer, len(prompt)

    def decode(self, ids: list[int]) -> str:
        """Text of ids."""
        return str(self.model.decode(ids))
