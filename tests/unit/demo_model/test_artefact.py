"""The committed GGUF and its manifest fit, and llama.cpp reads them as the recipe does."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from models.demo.recipe import dataset, tasks

MODELS = tasks.ROOT / "models"
MOST_BYTES = 24_000_000


@pytest.fixture(scope="module")
def manifest() -> dict[str, object]:
    """The catalogue manifest of the demo model."""
    return tomllib.loads((MODELS / "demo.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def gguf(manifest: dict[str, object]) -> Path:
    """The model file that the manifest names."""
    return MODELS / str(manifest["file"])


def test_digest_and_size(manifest: dict[str, object], gguf: Path) -> None:
    assert hashlib.sha256(gguf.read_bytes()).hexdigest() == manifest["sha256"]
    assert gguf.stat().st_size <= MOST_BYTES


def test_parameters_are_within_the_brief(manifest: dict[str, object]) -> None:
    assert 4_000_000 <= int(str(manifest["parameters"])) <= 20_000_000


def test_vocabulary_in_llama_cpp(gguf: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    model = llama_cpp.Llama(str(gguf), vocab_only=True, verbose=False)

    def ids(text: str) -> list[int]:
        return list(model.tokenize(text.encode(), add_bos=False, special=True))

    for label in (*tasks.task("deidentify").labels, dataset.START, dataset.END, "\n", "\t"):
        assert len(ids(label)) == 1
    assert ids(dataset.END) == [model.token_eos()]
    # A name is cut alike after a space, at the start of a line and inside quotes.
    assert ids(" Okafor")[1:] == ids("Okafor") == ids('"Okafor"')[1:-1]
    for text in ("tabs\tand  spaces ", "\r\n", "漢字 😀 é", " \n\n\n x", "▁"):
        assert model.detokenize(ids(text)).decode() == text.replace("▁", " ")
