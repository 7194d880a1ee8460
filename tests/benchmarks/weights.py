"""Models to measure with: the demo model, Llama shapes with random weights, or a given file."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gguf
import llama_cpp

from appliance.catalogue.manifest import read_manifest
from appliance.engine.llama import LogTail
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf

REPOSITORY = Path(__file__).resolve().parents[2]
CONTEXT = 4608  # tokens of a request of a made or given model: 4,000, an answer, a template
SHAPES = {
    "1b": Shape(2048, 5632, 22, 32, 32000, CONTEXT, quantised=True, kv_heads=4),
    "7b": Shape(4096, 11008, 32, 32, 32000, CONTEXT, quantised=True),
}
_LOG = LogTail()


class BenchmarkError(Exception):
    """A measurement can not be made; the message says what to change."""


@dataclass(frozen=True)
class Model:
    """A model with its manifest, and what a client must know of its vocabulary.

    Args:
        models: the folder with `<name>.toml`.
        tokens: counts the tokens of a text.
        ends: the tokens that end an answer.
    """

    name: str
    models: Path
    file: Path
    tokens: Callable[[str], int]
    ends: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.stat().st_size


@contextmanager
def model(wanted: str, folder: Path) -> Iterator[Model]:
    """The model `demo`, `1b`, `7b` or the file at a path; `folder` takes what is made.

    A shape that `folder` already has is not made again.

    Raises:
        BenchmarkError: `wanted` is neither a known name nor a file.
    """
    if wanted == "demo":
        models, name = REPOSITORY / "models", "demo"
    elif wanted in SHAPES:
        models, name = folder, wanted
        if not (folder / f"{wanted}.toml").exists():
            _make(folder, wanted)
    elif Path(wanted).is_file():
        models, name = folder, "given"
        _adopt(Path(wanted).resolve(), folder)
    else:
        raise BenchmarkError(f"--model {wanted}: no such file; or one of demo, {', '.join(SHAPES)}")
    file = read_manifest(models / f"{name}.toml").weights(models)
    vocabulary = Vocabulary(file)
    try:
        yield Model(name, models, file, vocabulary.count, vocabulary.ends())
    finally:
        vocabulary.close()


def _make(folder: Path, name: str) -> None:
    """Write random weights in Q8_0 and have llama.cpp make Q4_K_M of them."""
    if shutil.disk_usage(folder).free < 16e9 and name == "7b":
        raise BenchmarkError(f"{folder}: 7b needs 16 GB of disk; name another folder (--weights).")
    raw, file = folder / f"{name}.q8_0", folder / f"{name}.gguf"
    write_tiny_gguf(raw, SHAPES[name])
    _LOG.install()
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    options.allow_requantize = True
    source, target = str(raw).encode(), str(file).encode()
    if llama_cpp.llama_model_quantize(source, target, ctypes.byref(options)):
        raise BenchmarkError(f"{raw}: llama.cpp could not quantise it: {_LOG.cause()}")
    raw.unlink()
    write_manifest(folder, name, _digest(file), context=CONTEXT, quantisation="Q4_K_M")


def _adopt(file: Path, folder: Path) -> None:
    """Write a manifest for a file that lies elsewhere."""
    link = folder / "given.gguf"
    link.unlink(missing_ok=True)
    link.symlink_to(file)
    reader = gguf.GGUFReader(file)
    architecture = reader.get_field("general.architecture").contents()
    trained = reader.get_field(f"{architecture}.context_length").contents()
    context = min(trained, CONTEXT)
    write_manifest(folder, "given", _digest(file), context=context, quantisation="as given")


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class Vocabulary:
    """The vocabulary of a file, without its weights."""

    def __init__(self, file: Path) -> None:
        """Read it from `file`."""
        _LOG.install()
        options = llama_cpp.llama_model_default_params()
        options.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), options)
        if not self._model:
            raise BenchmarkError(f"{file}: llama.cpp can not read it: {_LOG.cause()}")
        self._handle = llama_cpp.llama_model_get_vocab(self._model)

    def count(self, text: str) -> int:
        """Tokens of a text, with those that the model wants at its beginning."""
        raw = text.encode()
        # With no room for them, the answer is how many there are, negated.
        return -int(llama_cpp.llama_tokenize(self._handle, raw, len(raw), None, 0, True, False))

    def ends(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        size = llama_cpp.llama_vocab_n_tokens(self._handle)
        return tuple(
            token for token in range(size) if llama_cpp.llama_vocab_is_eog(self._handle, token)
        )

    def close(self) -> None:
        """Free it."""
        llama_cpp.llama_model_free(self._model)
