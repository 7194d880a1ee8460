"""A model that was described runs: it chats, completes, and fills gaps if it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import gguf
import pytest

from appliance.catalogue.digest import file_digest
from appliance.catalogue.known.description import describe, make_manifest
from appliance.catalogue.known.head import read_head
from appliance.catalogue.writing import write_manifest
from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from tests.service.engine.conftest import Engine, add_model, chat, completion
from tests.support.tiny_gguf import write_tiny_gguf

MARKS = ("<gap-before>", "<gap-behind>", "<gap>")


def declare(writer: gguf.GGUFWriter) -> None:
    for key, token in zip(("PRE", "SUF", "MID"), (5, 6, 7), strict=True):
        writer.add_uint32(getattr(gguf.Keys.Tokenizer, f"FIM_{key}_ID"), token)


@pytest.fixture(scope="module")
def client(make_folder: Callable[[], Path]) -> Iterator[EngineClient]:
    """An engine with a model that can fill gaps and one that can not."""
    engine = Engine(make_folder())
    path = engine.models / "filler.gguf"
    write_tiny_gguf(path, control=MARKS, more=declare)
    described = describe(read_head(path), path.name)
    assert described.capabilities == ("chat", "complete", "infill")
    file = PurePosixPath(path.name)
    write_manifest(make_manifest(described, "filler", file, file_digest(path)), engine.models)
    add_model(engine, "tiny")
    try:
        engine.start()
        engine.wait_for("filler", "ready")
        engine.wait_for("tiny", "ready")
        yield engine.client()
    finally:
        engine.stop()


def test_a_described_model_chats(client: EngineClient) -> None:
    assert client.chat(chat(model="filler")).usage["completion_tokens"] == 8


def test_a_gap_is_filled_between_both_texts(client: EngineClient) -> None:
    plain = client.complete(completion("the user", model="filler"))
    filled = client.complete(completion("the user", model="filler", suffix="the end"))
    # Three marks and the text behind the gap come to what the prompt alone has.
    behind = client.complete(completion("the end", model="filler")).usage["prompt_tokens"] - 1
    assert filled.usage["prompt_tokens"] == plain.usage["prompt_tokens"] + 3 + behind
    assert filled.usage["completion_tokens"] == 8


def test_the_text_behind_the_gap_changes_the_filling(client: EngineClient) -> None:
    def fill(suffix: str) -> str:
        body = completion("the user", model="filler", suffix=suffix, max_tokens=24)
        return client.complete(body).text

    texts = {fill(suffix) for suffix in ("the end", "that was with it", "x")}
    assert len(texts) > 1


def test_an_empty_text_behind_is_a_plain_completion(client: EngineClient) -> None:
    plain = client.complete(completion("the user"))
    assert client.complete(completion("the user", suffix="")).usage == plain.usage


def test_a_model_without_marks_refuses_a_suffix(client: EngineClient) -> None:
    with pytest.raises(EngineError) as caught:
        client.complete(completion("the user", suffix="the end"))
    assert (caught.value.status, caught.value.param) == (400, "suffix")
    assert "'infill'" in caught.value.message


def test_prompt_and_suffix_together_must_fit(client: EngineClient) -> None:
    with pytest.raises(EngineError) as caught:
        client.complete(completion("x" * 300, model="filler", suffix="y" * 300))
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(EngineError) as caught:
        client.complete(completion("x", model="filler", suffix="y " * 200_000))
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "suffix")
