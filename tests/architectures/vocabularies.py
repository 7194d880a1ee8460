"""Vocabularies for models with random weights: our own, or a publisher's where it must be.

llama.cpp's converter takes any SentencePiece model, but knows the other tokenizers by a digest of
what they make of a text, so those have to be real. Its source distribution holds them as GGUF.
Needs PyTorch's environment.
"""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import sentencepiece
from gguf import GGUFReader, TokenType
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertTokenizerFast, PreTrainedTokenizerFast

_WORDS = (
    "the a of and to in is it was for on that with as at by this from or are user assistant"
    " invoice very urgent please pay patient seen today sent home translate summarize"
)


def write_vocabulary(kind: str, folder: Path, published: Path) -> None:
    """Put the files of a tokenizer into a model's folder.

    Args:
        kind: `sentencepiece` (Llama's kind), `unigram` (T5's), `bert` or `gpt-2`.
        folder: of the model.
        published: folder of the vocabularies in the converter's source.
    """
    if kind == "bert":
        _write_bert(folder, published / "ggml-vocab-bert-bge.gguf")
    elif kind == "gpt-2":
        _write_gpt2(folder, published / "ggml-vocab-gpt-2.gguf")
    else:
        name = "spiece.model" if kind == "unigram" else "tokenizer.model"
        (folder / name).write_bytes(_sentencepiece(kind))
        # Llama's tokenizer class decides about spaces; without a file the converter assumes it.
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')


def add_tokens(folder: Path, added: tuple[tuple[str, int], ...]) -> None:
    """Give a SentencePiece vocabulary further tokens, as publishers add those of a chat."""
    if added:
        (folder / "added_tokens.json").write_text(json.dumps(dict(added)))


def _sentencepiece(kind: str) -> bytes:
    draw, words = random.Random(1), _WORDS.split()  # noqa: S311 - nothing secret
    model = io.BytesIO()
    llama = {"byte_fallback": True, "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
    t5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(" ".join(draw.choices(words, k=12)) for _ in range(2000)),
        model_writer=model,
        model_type="unigram" if kind == "unigram" else "bpe",
        vocab_size=120 if kind == "unigram" else 400,
        hard_vocab_limit=False,
        minloglevel=2,
        **(t5 if kind == "unigram" else llama),
    )
    return model.getvalue()


def _strings(path: Path, field: str) -> list[str]:
    found = GGUFReader(path).fields[f"tokenizer.ggml.{field}"]
    return [bytes(found.parts[place]).decode() for place in found.data]


def _write_bert(folder: Path, published: Path) -> None:
    kinds = GGUFReader(published).fields["tokenizer.ggml.token_type"].contents()
    vocabulary = [
        _as_published(token, TokenType(kind))
        for token, kind in zip(_strings(published, "tokens"), kinds, strict=True)
    ]
    path = folder / "vocab.txt"
    path.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast(str(path)).save_pretrained(folder)


def _as_published(token: str, kind: TokenType) -> str:
    """A token as BERT's vocabulary file has it; GGUF marks beginnings of words, not the rest."""
    if kind == TokenType.CONTROL or (token[0] == "[" and token[-1] == "]" and len(token) > 2):
        return token
    return token[1:] if token.startswith("\u2581") else f"##{token}"


def _write_gpt2(folder: Path, published: Path) -> None:
    numbers = {token: number for number, token in enumerate(_strings(published, "tokens"))}
    merges = [tuple(rule.split(" ")) for rule in _strings(published, "merges")]
    tokenizer = Tokenizer(models.BPE(numbers, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=end, eos_token=end
    ).save_pretrained(folder)
