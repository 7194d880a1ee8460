"""Adapters: asked for by name or by alias, beside their base, which nothing of theirs can harm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from appliance.catalogue.digest import file_digest
from appliance.engine.errors import EngineError
from tests.service.engine.conftest import Engine, add_model, chat
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.tiny_lora import lora_pairs, write_adapter_manifest, write_lora
from tests.support.wait import wait_until

EXACT = (
    "--threads=1",
    "--sequences=8",
    "--context=2048",
    "--queue=16",
    "--step-tokens=32",
    "--exact",
)
QUANTISED = Shape(quantised=True)
QUERY = "blk.0.attn_q.weight"


def add_adapter(
    engine: Engine,
    name: str,
    seed: int = 1,
    base: str = "tiny",
    factor: float = 1.0,
    *,
    held: bool = False,
) -> Path:
    """Put a random adapter with a right manifest into the engine's folder; returns its file."""
    pairs = {
        key: (first, second * np.float32(factor))
        for key, (first, second) in lora_pairs(QUANTISED, seed).items()
    }
    path = engine.models / f"{name}.gguf"
    digest = write_lora(path, pairs)
    write_adapter_manifest(engine.models, name, digest, base, held=held)
    return path


@pytest.fixture(scope="module")
def engine(make_folder: Callable[[], Path]) -> Iterator[Engine]:
    """An engine with one model and two adapters of it."""
    engine = Engine(make_folder(), EXACT)
    add_model(engine, "tiny", 1, QUANTISED)
    add_adapter(engine, "terse", 1)
    add_adapter(engine, "verbose", 2)
    try:
        engine.start()
        engine.wait_for("tiny", "ready")
        yield engine
    finally:
        engine.stop()


def text_of(engine: Engine, model: str, content: str = "the user") -> str:
    return engine.client().chat(chat(content, model=model, max_tokens=24)).text


def refusal(engine: Engine, model: str) -> EngineError:
    with pytest.raises(EngineError) as caught:
        engine.client().chat(chat(model=model))
    return caught.value


def test_an_adapter_changes_the_answer_and_its_absence_restores_it_exactly(
    engine: Engine,
) -> None:
    client = engine.client()
    runners = engine.runners()

    def logged(model: str) -> object:
        body = chat(model=model, max_tokens=24, logprobs=True, top_logprobs=5)
        return client.chat(body).body["choices"]

    before, changed, after = logged("tiny"), logged("terse"), logged("tiny")
    assert before == after
    assert changed != before
    assert changed == logged("terse")
    assert engine.runners() == runners  # neither reloaded nor a second one started


def test_an_answer_names_the_adapter_and_has_both_digests(engine: Engine) -> None:
    names = {one.id: one for one in engine.client().names()}
    identity = engine.client().chat(chat(model="terse")).identity
    assert (identity.asked, identity.model) == ("terse", "terse")
    assert identity.model_digest == names["tiny"].sha256
    assert identity.adapter_digest == names["terse"].sha256
    assert engine.client().chat(chat()).identity.adapter_digest is None
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket))) as raw:
        url = "http://engine/v1/chat/completions"
        headers = raw.post(url, json=chat(model="terse")).headers
        # What a client says of adapters itself is not passed on.
        own = raw.post(url, json=chat(), headers={"X-Adapter": "terse " + "0" * 64}).headers
    assert headers["X-Model"] == "terse"
    assert headers["X-Adapter-Digest"] == names["terse"].sha256
    assert (own["X-Model"], "X-Adapter-Digest" in own) == ("tiny", False)


def test_eight_streams_of_a_base_and_two_adapters_each_say_what_they_say_alone(
    engine: Engine,
) -> None:
    asked = [(("tiny", "terse", "verbose")[n % 3], f"the user {n} that was") for n in range(8)]
    body = {"max_tokens": 60}
    alone = [engine.client().chat(chat(text, model=name, **body)).text for name, text in asked]
    among: dict[int, str] = {}
    ready = threading.Barrier(len(asked))

    def stream(number: int) -> None:
        name, text = asked[number]
        ready.wait(30)
        with engine.client().stream_chat(chat(text, model=name, **body)) as chunks:
            among[number] = "".join(chunk.text for chunk in chunks)

    threads = [threading.Thread(target=stream, args=(n,)) for n in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [among.get(number) for number in range(len(asked))] == alone
    assert len(set(alone)) > 5


def test_adapters_are_listed_with_their_base(engine: Engine) -> None:
    listed = {one.id: one for one in engine.client().models()}
    own = listed["terse"].body["cloister"]
    assert (own["base"], own["state"], own["title"]) == ("tiny", "ready", "Test adapter terse")
    assert own["capabilities"] == ["chat", "complete"]
    # Both together are in memory once.
    assert not own["measured"]
    assert (own["memory_bytes"], own["held_bytes"]) == (0, 0)
    assert own["weights_bytes"] == (engine.models / "terse.gguf").stat().st_size
    assert listed["tiny"].body["cloister"]["base"] is None


def test_an_alias_moves_between_a_base_and_its_adapters_and_back(engine: Engine) -> None:
    admin, runners = engine.admin(), engine.runners()

    def activate(model: str) -> None:
        admin.activate("letters", model, "tests", admin.prepare("letters", model)["sha256"])

    activate("tiny")
    activate("terse")
    identity = engine.client().chat(chat(model="letters")).identity
    assert (identity.asked, identity.model) == ("letters", "terse")
    assert text_of(engine, "letters") == text_of(engine, "terse")
    names = {one.id: one for one in engine.client().names()}
    assert names["letters"].alias_of == "terse"
    assert names["terse"].body["cloister"]["aliases"] == ["letters"]
    admin.rollback("letters", "tiny")
    assert text_of(engine, "letters") == text_of(engine, "tiny")
    assert engine.runners() == runners


def test_an_imported_adapter_answers_nobody_before_an_alias_points_at_it(engine: Engine) -> None:
    add_adapter(engine, "waiting", 5, held=True)
    assert refusal(engine, "waiting").code == "model_not_activated"
    assert engine.wait_for("waiting", "imported")
    admin = engine.admin()
    admin.activate("first", "waiting", "tests", admin.prepare("first", "waiting")["sha256"])
    assert engine.client().chat(chat(model="waiting")).identity.model == "waiting"
    admin.remove("first")


def test_an_adapter_that_comes_or_goes_while_the_base_runs_needs_no_reload(
    engine: Engine,
) -> None:
    runners = engine.runners()
    path = add_adapter(engine, "late", 7)
    assert text_of(engine, "late") not in {text_of(engine, "tiny"), text_of(engine, "terse")}
    path.with_suffix(".toml").unlink()
    assert refusal(engine, "late").code == "model_not_found"
    assert engine.runners() == runners


def test_an_adapter_without_its_base_says_which_model_is_missing(engine: Engine) -> None:
    add_adapter(engine, "orphan", 1, base="elsewhere")
    error = refusal(engine, "orphan")
    assert (error.status, error.code) == (503, "model_failed")
    assert "'elsewhere', which is not here" in error.message
    assert "'elsewhere', is not here" in str(engine.wait_for("orphan", "failed").error)


def _wrong_shape(engine: Engine, path: Path) -> None:
    digest = write_lora(path, lora_pairs(Shape(width=128), 1))
    write_adapter_manifest(engine.models, path.stem, digest, "tiny")


def _not_a_number(engine: Engine, path: Path) -> None:
    pairs = lora_pairs(QUANTISED, 1)
    pairs[QUERY][1][3, 2] = np.nan
    write_adapter_manifest(engine.models, path.stem, write_lora(path, pairs), "tiny")


def _cut_off(engine: Engine, path: Path) -> None:
    write_lora(path)
    path.write_bytes(path.read_bytes()[:-1000])
    write_adapter_manifest(engine.models, path.stem, file_digest(path), "tiny")


def _changed(engine: Engine, path: Path) -> None:
    add_adapter(engine, path.stem, 1)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def _overflowing(engine: Engine, path: Path) -> None:
    add_adapter(engine, path.stem, 1, factor=1e30)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (_wrong_shape, "has the shape"),
        (_not_a_number, "elements that are no numbers"),
        (_cut_off, "is cut off"),
        (_changed, "the file was changed or damaged"),
        (_overflowing, "gave no usable probabilities"),
    ],
)
def test_a_hostile_adapter_is_refused_and_its_base_answers_on_unharmed(
    engine: Engine, make: Callable[[Engine, Path], None], complaint: str
) -> None:
    name = "bad" + make.__name__.replace("_", "-")
    alone = [text_of(engine, each) for each in ("tiny", "terse")]
    runners = engine.runners()
    body = chat(max_tokens=150)
    whole = engine.client().chat(body).text
    with engine.client().stream_chat(body) as stream:
        text = next(stream).text
        make(engine, engine.models / f"{name}.gguf")
        error = refusal(engine, name)
        text += "".join(chunk.text for chunk in stream)
    assert error.status in {500, 503}
    assert complaint in error.message
    assert text == whole
    assert [text_of(engine, each) for each in ("tiny", "terse")] == alone
    assert engine.runners() == runners
    # Asked again, it is no better.
    again = refusal(engine, name)
    assert again.code == "model_failed"


def test_a_mended_adapter_is_tried_again(engine: Engine) -> None:
    path = engine.models / "mended.gguf"
    _changed(engine, path)
    assert refusal(engine, "mended").code == "model_failed"
    whole = path.with_suffix(".new")
    whole.write_bytes((engine.models / "terse.gguf").read_bytes())
    whole.replace(path)
    assert text_of(engine, "mended") == text_of(engine, "terse")


def test_a_base_that_nobody_has_activated_answers_for_no_adapter(engine: Engine) -> None:
    digest = write_tiny_gguf(engine.models / "quiet.gguf", QUANTISED, 9)
    write_manifest(engine.models, "quiet", digest, held=True)
    add_adapter(engine, "loud", 1, base="quiet")
    error = refusal(engine, "loud")
    assert (error.code, "'quiet'" in error.message) == ("model_not_activated", True)
    with pytest.raises(EngineError) as caught:
        engine.admin().prepare("shout", "loud")
    assert caught.value.code == "model_not_activated"
    assert engine.status("quiet").state == "imported"


def test_what_an_adapter_s_requests_begin_with_is_decoded_ahead_with_it(
    own_engine: Engine,
) -> None:
    add_model(own_engine, "tiny", 1, QUANTISED)
    add_adapter(own_engine, "terse", 1)
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    samples = [chat(f"{'the user that was with ' * 8}{end}")["messages"] for end in ("a", "of")]
    kinds = [
        {"model": name, "samples": [{"model": name, "messages": each} for each in samples]}
        for name in ("tiny", "terse")
    ]
    own_engine.client().want_beginnings(kinds)

    def warmed() -> bool:
        return bool(own_engine.status("tiny").body["cloister"]["warmed"] == 2)

    wait_until(warmed, 30, "two beginnings")
    own_engine.client().chat(chat(model="terse") | {"messages": samples[0]})
    assert own_engine.status("tiny").body["cloister"]["prefix_hits"] >= 1


def test_a_base_s_plan_has_room_for_its_adapters(own_engine: Engine) -> None:
    add_model(own_engine, "alone", 1, QUANTISED)
    add_model(own_engine, "tiny", 1, QUANTISED)
    size = add_adapter(own_engine, "terse", 1).stat().st_size
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    own_engine.wait_for("alone", "ready")
    held = {one.id: one.body["cloister"]["held_bytes"] for one in own_engine.client().models()}
    assert held == {"alone": held["alone"], "tiny": held["alone"] + size, "terse": 0}
