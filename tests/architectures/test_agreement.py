"""What the engine computes of each architecture is what the publisher's own code computes.

The peer is transformers, in single precision (`make.py`). Errors are relative: the length of the
difference by the length of what the peer says, over all tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.catalogue.architectures import Nature
from appliance.catalogue.known.library import known_model
from appliance.engine.batch import Batch
from appliance.engine.heads import read_head
from appliance.engine.llama import Loaded, LogTail, load
from appliance.engine.options import EngineOptions
from appliance.engine.translating import first_token, logit_scale
from tests.architectures.made import (
    ENCODERS,
    PLAIN,
    ROUNDED,
    TRANSLATORS,
    Peer,
    peer,
    weights,
)

Floats = NDArray[np.float32]

DEFAULT = EngineOptions(threads=2, step_tokens=512)
EXACT = EngineOptions(
    threads=2, step_tokens=512, flash_attention="off", cache_type_k="f32", cache_type_v="f32"
)
"""Keys and values stay in single precision: what is left is a difference in the computation."""

AGREED = 1e-3
SAME = 1e-5
"""Rounding in another order."""


@pytest.fixture(scope="module")
def log() -> Iterator[LogTail]:
    log = LogTail()
    log.install()
    yield log
    # llama.cpp calls back for as long as the process lives: never collected.
    _kept.append(log)


_kept: list[LogTail] = []


def error(found: Floats, wanted: Floats) -> float:
    """Relative error of all numbers together."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def _logits(loaded: Loaded, tokens: list[int]) -> Floats:
    """One row a token; in pieces, since a step has room for a few outputs only."""
    batch, rows = Batch(DEFAULT.step_capacity), []
    for start in range(0, len(tokens), 16):
        piece = tokens[start : start + 16]
        batch.clear()
        batch.add(piece, start, 0, len(piece))
        assert loaded.decode(batch.seal()) == 0
        rows.append(loaded.logits(len(piece)).copy())
    return np.concatenate(rows)


def _read(loaded: Loaded, tokens: list[int]) -> None:
    batch = Batch(len(tokens))
    batch.add(tokens, 0, 0, len(tokens))
    assert loaded.encode(batch.seal()) == 0


def _states(loaded: Loaded, tokens: list[int]) -> Floats:
    _read(loaded, tokens)
    return loaded.states(len(tokens)).copy()


def _computed(name: str, options: EngineOptions, log: LogTail) -> tuple[Floats, Peer]:
    loaded, wanted = load(weights(name), 512, options, log), peer(name)
    try:
        return _logits(loaded, wanted.tokens), wanted
    finally:
        loaded.free()


@pytest.mark.parametrize("name", [*PLAIN, *ROUNDED])
def test_logits_agree_with_transformers(name: str, log: LogTail) -> None:
    """With the engine's own settings, whose cache has half precision."""
    found, wanted = _computed(name, DEFAULT, log)
    assert error(found, wanted.logits) < AGREED


@pytest.mark.parametrize("name", [*PLAIN, *ROUNDED])
def test_without_half_precision_nothing_but_rounding_is_left(name: str, log: LogTail) -> None:
    found, wanted = _computed(name, EXACT, log)
    assert error(found, wanted.logits) < (SAME if name in PLAIN else AGREED)


def test_behind_the_window_of_mistral_v01_llama_cpp_computes_something_else(log: LogTail) -> None:
    """Its architecture has no window there, so nothing we list offers more than the window."""
    found, wanted = _computed("mistral-past-its-window", EXACT, log)
    assert error(found[:16], wanted.logits[:16]) < SAME
    assert error(found[17:], wanted.logits[17:]) > 0.1
    for name in ("mistral-7b-v0.1", "mistral-7b-instruct-v0.1"):
        assert known_model(name).context == 4096


@pytest.mark.parametrize("name", ENCODERS)
def test_states_and_class_scores_of_encoders_agree(name: str, log: LogTail) -> None:
    wanted = peer(name)
    loaded = load(weights(name), 512, DEFAULT, log)
    assert loaded.nature is Nature.ENCODER
    assert error(_states(loaded, wanted.tokens), wanted.states) < AGREED
    loaded.free()
    loaded = load(weights(name), 512, EXACT, log)
    states, head = _states(loaded, wanted.tokens), read_head(loaded)
    assert error(states, wanted.states) < AGREED
    assert error(head.scores(states), wanted.logits[0]) < AGREED
    assert head.labels == ("calm", "urgent", "spam")
    loaded.free()


@pytest.mark.parametrize("options", [DEFAULT, EXACT], ids=["default", "exact"])
@pytest.mark.parametrize("name", TRANSLATORS)
def test_logits_of_encoder_decoders_agree_once_they_are_scaled(
    name: str, options: EngineOptions, log: LogTail
) -> None:
    """Of T5 1.0 llama.cpp's are too large by the root of the width; of T5 1.1 they are right."""
    wanted = peer(name)
    loaded = load(weights(name), 512, options, log)
    assert wanted.answer[0] == first_token(loaded) == 0
    _read(loaded, wanted.tokens)
    found = _logits(loaded, wanted.answer)
    scale = logit_scale(loaded)
    assert scale == (64**-0.5 if name == "t5-small" else 1)
    assert error(found * np.float32(scale), wanted.logits) < AGREED
    loaded.free()
