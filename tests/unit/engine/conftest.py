"""A tiny model in this process, loaded once: the parts below HTTP are tested on it directly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.engine.grammar import Grammars
from appliance.engine.llama import Loaded, LogTail, load
from appliance.engine.options import EngineOptions
from appliance.engine.vocab import Vocabulary
from tests.support.tiny_gguf import write_tiny_gguf

OPTIONS = EngineOptions(threads=1, sequences=8, context=1024, queue=64, step_tokens=32)
REQUEST_CONTEXT = 512


@pytest.fixture(scope="session")
def log_tail() -> LogTail:
    """llama.cpp's log of this process; it must outlive every model."""
    log = LogTail()
    log.install()
    return log


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, log_tail: LogTail) -> Iterator[Loaded]:
    """The tiny model; `<s` and `>` are tokens too, so that letters could merge to `<s>`."""
    path: Path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_gguf(path, pieces=["<s", "</", "</s"])
    loaded = load(path, REQUEST_CONTEXT, OPTIONS, log_tail)
    yield loaded
    loaded.free()


@pytest.fixture(scope="session")
def vocabulary(tiny: Loaded) -> Vocabulary:
    """Its tokens."""
    return Vocabulary(tiny)


@pytest.fixture(scope="session")
def grammars(tiny: Loaded, vocabulary: Vocabulary) -> Grammars:
    """Its schema compiler."""
    return Grammars(tiny, vocabulary)
