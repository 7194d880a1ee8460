"""Each architecture quantised, loaded by the supervisor, asked over its socket, and weighed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.catalogue.digest import file_digest
from appliance.catalogue.inspection import inspect
from appliance.catalogue.known.library import prompt_formats
from appliance.catalogue.manifest import read_manifest
from appliance.engine.budget import planned
from appliance.engine.llama import LogTail, load
from appliance.engine.options import EngineOptions
from appliance.engine.vocab import Vocabulary
from models.demo.recipe.quantise import quantise
from tests.architectures.made import (
    ENCODERS,
    PLAIN,
    ROUNDED,
    TRANSLATORS,
    peer,
    weights,
)
from tests.service.engine.conftest import Engine
from tests.support.tiny_gguf import write_manifest

DECODERS = (*PLAIN, *ROUNDED)
OPTIONS = EngineOptions(threads=1, sequences=4, context=2048, step_tokens=64)
CONTEXT = 1024
LIBRARIES = 20_000_000
"""Bytes by which small models may differ besides; see tests/service/engine/test_memory.py."""
_ABLE = {
    "codellama": ("complete", "infill"),
    "orca-2": ("chat", "complete"),
    **dict.fromkeys(ENCODERS, ("embed", "classify")),
}


def _add(models: Path, name: str) -> None:
    """Quantise a model into the folder, with its manifest."""
    path = models / f"{name}.gguf"
    quantise(weights(name), path)
    manifest = write_manifest(
        models,
        name,
        file_digest(path),
        quantisation="Q8_0",
        context=CONTEXT if name in DECODERS else 512,
        capabilities=_ABLE.get(name, ("complete",)),
    )
    if name == "orca-2":
        with manifest.open("a") as file:
            file.write(f"[template]\nchat = '''{prompt_formats()['orca-2'].chat}'''\n")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine with every architecture."""
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    (folder / "models").mkdir()
    engine = Engine(folder, tuple(OPTIONS.arguments()))
    try:
        for name in (*DECODERS, *ENCODERS, *TRANSLATORS):
            _add(engine.models, name)
        engine.start()
        yield engine
    finally:
        engine.stop()
        shutil.rmtree(folder)


def _check_memory(engine: Engine, name: str) -> None:
    manifest = read_manifest(engine.models / f"{name}.toml")
    plan = planned(inspect(manifest, engine.models), manifest.context, OPTIONS)
    resident = engine.status(name).memory_bytes
    assert resident == pytest.approx(plan.resident, rel=0.1, abs=LIBRARIES), plan


@pytest.mark.parametrize("name", DECODERS)
def test_a_quantised_model_answers_and_takes_the_memory_that_was_planned(
    engine: Engine, name: str
) -> None:
    engine.wait_for(name, "ready", 180)
    tokens = peer(name).tokens
    body = {"model": name, "prompt": tokens, "max_tokens": 12, "temperature": 0, "logprobs": 5}
    answer = engine.client().complete(body)
    assert answer.usage["prompt_tokens"] == len(tokens)
    assert 0 <= answer.usage["completion_tokens"] <= 12
    found = answer.body["choices"][0]["logprobs"]["token_logprobs"]
    assert all(-20 < each <= 0 for each in found)
    long = (tokens * CONTEXT)[: CONTEXT - 16]
    for prompt in (long, long[::-1]):  # all of the cache is used now
        answer = engine.client().complete({**body, "prompt": prompt})
        assert answer.usage["prompt_tokens"] == len(long)
    _check_memory(engine, name)


def test_code_llama_fills_a_gap_by_the_tokens_that_its_converter_declares(engine: Engine) -> None:
    engine.wait_for("codellama", "ready", 180)
    body = {"model": "codellama", "prompt": "the a of", "max_tokens": 4, "logprobs": 1}
    body["temperature"] = 0
    plain = engine.client().complete(body)
    filled = engine.client().complete({**body, "suffix": "and to in"})
    assert filled.usage["prompt_tokens"] > plain.usage["prompt_tokens"] + 3
    said = [answer.body["choices"][0]["logprobs"]["token_logprobs"] for answer in (plain, filled)]
    assert said[0] != said[1]


def test_orca_2_chats_in_chatml(engine: Engine) -> None:
    engine.wait_for("orca-2", "ready", 180)
    body = {"messages": [{"role": "user", "content": "the invoice"}], "max_tokens": 4}
    answer = engine.client().chat({"model": "orca-2", "temperature": 0, **body})
    assert answer.usage["completion_tokens"] <= 4


@pytest.mark.parametrize("name", ENCODERS)
def test_a_quantised_encoder_reads_and_takes_the_memory_that_was_planned(
    engine: Engine, name: str
) -> None:
    engine.wait_for(name, "ready", 180)
    wanted = peer(name)
    client = engine.client()
    mean = wanted.states.mean(axis=0)
    found = client.embed({"model": name, "input": wanted.tokens}).body["data"][0]["embedding"]
    assert float(np.dot(found, mean / np.linalg.norm(mean))) > 0.99
    raised = np.exp(wanted.logits[0] - wanted.logits[0].max())
    shares = dict(zip(("calm", "urgent", "spam"), raised / raised.sum(), strict=True))
    classes = client.classify({"model": name, "input": [wanted.tokens]}).body["data"][0]["classes"]
    assert {each["label"]: each["probability"] for each in classes} == pytest.approx(
        shares, abs=0.05
    )
    client.embed({"model": name, "input": [(wanted.tokens * 20)[:512]] * 2})
    _check_memory(engine, name)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_an_encoder_decoder_says_what_transformers_says_word_for_word(
    engine: Engine, name: str
) -> None:
    """In single precision; quantised, it answers and takes the memory that was planned."""
    wanted = peer(name)
    whole = f"{name}-whole"
    shutil.copy(weights(name), engine.models / f"{whole}.gguf")
    digest = file_digest(weights(name))
    write_manifest(engine.models, whole, digest, context=512, capabilities=("complete",))
    engine.wait_for(whole, "ready", 180)
    body = {"prompt": wanted.tokens, "max_tokens": 12, "temperature": 0, "logit_bias": {"1": -100}}
    answer = engine.client().complete({"model": whole, **body, "logprobs": 0}).body["choices"][0]
    assert answer["logprobs"]["tokens"] == _spelled(name, wanted.continued)
    engine.wait_for(name, "ready", 180)
    for _ in range(2):
        found = engine.client().complete({"model": name, **body, "prompt": [50] * 512})
        assert found.usage == {"prompt_tokens": 512, "completion_tokens": 12, "total_tokens": 524}
    _check_memory(engine, name)


def _spelled(name: str, tokens: list[int]) -> list[str]:
    log = LogTail()
    log.install()
    _kept.append(log)
    loaded = load(weights(name), 512, OPTIONS, log)
    vocabulary = Vocabulary(loaded)
    pieces = [vocabulary.piece(token) or vocabulary.spelling(token).encode() for token in tokens]
    loaded.free()
    return [piece.decode() for piece in pieces]


_kept: list[LogTail] = []
