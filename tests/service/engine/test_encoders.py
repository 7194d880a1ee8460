"""Models that read: vectors and classes of texts, many at once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import PoolingType

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from tests.service.engine.conftest import SMALL, Engine, add_model, chat, completion
from tests.support.tiny_bert import LABELS, BertShape, write_tiny_bert
from tests.support.tiny_gguf import write_manifest
from tests.support.tiny_lora import write_adapter_manifest, write_lora
from tests.support.wait import wait_until

BOTH = ("embed", "classify")
TEXTS = ["the invoice is very urgent", "please pay", "a patient was seen today and sent home"]


def add_bert(
    engine: Engine,
    name: str,
    shape: BertShape | None = None,
    capabilities: tuple[str, ...] = BOTH,
    **changes: Any,  # noqa: ANN401 - see write_tiny_bert
) -> None:
    """Put a tiny encoder with a manifest into the engine's folder."""
    digest = write_tiny_bert(engine.models / f"{name}.gguf", shape, **changes)
    context = (shape or BertShape()).context
    write_manifest(engine.models, name, digest, context=context, capabilities=capabilities)


@pytest.fixture(scope="module")
def encoders(make_folder: Callable[[], Path]) -> Iterator[Engine]:
    engine = Engine(make_folder(), SMALL)
    add_bert(engine, "bert")
    add_bert(engine, "distilled", BertShape(distilled=True))
    add_bert(engine, "first", BertShape(labels=()), ("embed",), pooling=PoolingType.CLS)
    add_model(engine, "tiny")
    try:
        engine.start()
        for name in ("bert", "distilled", "first", "tiny"):
            engine.wait_for(name, "ready")
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def client(encoders: Engine) -> EngineClient:
    return encoders.client()


def vectors(client: EngineClient, **body: object) -> np.ndarray:
    answer = client.embed({"model": "bert", **body}).body
    return np.array([each["embedding"] for each in answer["data"]])


def refused(ask: Callable[[dict[str, Any]], object], **body: object) -> EngineError:
    with pytest.raises(EngineError) as caught:
        ask({"model": "bert", "input": "please pay", **body})
    return caught.value


def test_each_text_gets_a_vector_of_length_one_in_its_place(client: EngineClient) -> None:
    answer = client.embed({"model": "bert", "input": TEXTS, "user": "me"})
    assert answer.body["object"] == "list"
    assert answer.body["model"] == "bert"
    assert [each["index"] for each in answer.body["data"]] == [0, 1, 2]
    # Words of the vocabulary, and the marks around each text.
    assert answer.usage == {"prompt_tokens": 15 + 6, "total_tokens": 15 + 6}
    found = np.array([each["embedding"] for each in answer.body["data"]])
    assert found.shape == (3, 32)
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert answer.identity.model == "bert"
    assert answer.identity.seed == 0


def test_a_vector_does_not_depend_on_its_neighbours(client: EngineClient) -> None:
    alone = np.concatenate([vectors(client, input=text) for text in TEXTS])
    together = vectors(client, input=[*TEXTS, *["a b c d e f"] * 40])[:3]
    assert together == pytest.approx(alone, abs=2e-3)
    assert np.abs(alone[0] - alone[1]).max() > 0.05


def test_base64_holds_the_same_numbers(client: EngineClient) -> None:
    answer = client.embed({"model": "bert", "input": TEXTS, "encoding_format": "base64"})
    raw = [base64.b64decode(each["embedding"]) for each in answer.body["data"]]
    found = np.stack([np.frombuffer(each, "<f4") for each in raw])
    assert found == pytest.approx(vectors(client, input=TEXTS), abs=1e-7)


def test_tokens_are_read_as_they_are(client: EngineClient) -> None:
    """2 and 3 are the marks of this vocabulary, 5 is the first plain token."""
    as_text = vectors(client, input="!")
    assert vectors(client, input=[2, 5, 3]) == pytest.approx(as_text, abs=1e-6)
    both = vectors(client, input=[[2, 5, 3], [5]])
    assert both[0] == pytest.approx(as_text[0], abs=2e-3)
    assert np.abs(both[1] - as_text[0]).max() > 0.01


def test_the_pooling_is_the_one_that_the_file_names(client: EngineClient) -> None:
    """`first` has the same weights as `bert`, and takes the first token's state."""
    mean = vectors(client, input=TEXTS)
    first = vectors(client, model="first", input=TEXTS)
    assert np.abs(mean - first).max() > 0.05
    # With one token there is only one state.
    one = vectors(client, input=[[9]])
    assert vectors(client, model="first", input=[[9]]) == pytest.approx(one, abs=1e-6)


def test_written_control_tokens_stay_text(client: EngineClient) -> None:
    apart = vectors(client, input="[ sep ]")
    assert vectors(client, input="[SEP]") == pytest.approx(apart, abs=1e-6)


def test_each_text_gets_its_classes_the_likeliest_first(client: EngineClient) -> None:
    answer = client.classify({"model": "bert", "input": TEXTS})
    assert answer.usage["total_tokens"] == 21
    for index, each in enumerate(answer.body["data"]):
        shares = [one["probability"] for one in each["classes"]]
        assert each["index"] == index
        assert each["object"] == "classification"
        assert {one["label"] for one in each["classes"]} == set(LABELS)
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert (each["label"], each["probability"]) == tuple(each["classes"][0].values())


def test_one_text_is_one_classification(client: EngineClient) -> None:
    assert len(client.classify({"model": "bert", "input": TEXTS[0]}).body["data"]) == 1


def test_a_text_that_is_too_long_is_a_400_that_names_the_limit(client: EngineClient) -> None:
    error = refused(client.embed, input=["pay", "pay " * 127])
    assert (error.status, error.code) == (400, "context_length_exceeded")
    assert error.param == "input.1"
    assert "129 tokens pass the 128 that model 'bert' reads at once" in error.message
    assert vectors(client, input="pay " * 126).shape == (1, 32)
    assert refused(client.classify, input="x" * 10**6).code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["pay", ""]}, "input.1"),
        ({"input": [["pay"]]}, "input.0.0"),
        ({"input": [512]}, "input"),
        ({"input": ["pay"] * 2049}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 8}, "dimensions"),
        ({"stream": True}, "stream"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(
    client: EngineClient, change: dict[str, object], param: str
) -> None:
    error = refused(client.embed, **change)
    assert (error.status, error.param) == (400, param)


def test_an_encoder_says_what_it_can_do_instead_of_chatting(client: EngineClient) -> None:
    for ask, body, wanted in (
        (client.chat, chat(model="bert"), "chat"),
        (client.complete, completion(model="bert"), "complete"),
    ):
        with pytest.raises(EngineError) as caught:
            ask(body)
        assert (caught.value.status, caught.value.code) == (400, "model_incapable")
        said = f"can not {wanted}; it can: embed, classify."
        assert said in caught.value.message


def test_a_chat_model_says_what_it_can_do_instead_of_embedding(client: EngineClient) -> None:
    for ask, wanted in ((client.embed, "embed"), (client.classify, "classify")):
        error = refused(ask, model="tiny")
        assert (error.status, error.code, error.param) == (400, "model_incapable", "model")
        assert f"can not {wanted}; it can: chat, complete." in error.message


def test_an_encoder_without_a_head_only_embeds(client: EngineClient) -> None:
    error = refused(client.classify, model="first")
    assert (error.status, error.code) == (400, "model_incapable")


def test_many_requests_at_once_get_their_own_answers(encoders: Engine) -> None:
    texts = [" ".join(TEXTS[:2][: number % 3] or ["pay"]) + " a" * number for number in range(24)]
    alone = [vectors(encoders.client(), input=text)[0] for text in texts]
    client = encoders.client()
    # Four run and four wait in this engine.
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: vectors(client, input=text)[0], texts))
    assert np.array(found) == pytest.approx(np.array(alone), abs=2e-3)
    status = encoders.status("bert")
    assert (status.in_use, status.queued) == (0, 0)
    assert status.body["cloister"]["capabilities"] == list(BOTH)


def test_an_alias_moves_to_an_encoder(encoders: Engine) -> None:
    encoders.admin().activate("finder", "bert", "tests", encoders.status("bert").sha256)
    answer = encoders.client().embed({"model": "finder", "input": "pay"})
    assert answer.body["model"] == "finder"
    assert answer.identity.model == "bert"


@pytest.fixture(scope="module")
def busy(make_folder: Callable[[], Path]) -> Iterator[Engine]:
    """One request at a time, and one may wait; wide enough that many texts take seconds."""
    options = ("--threads=1", "--sequences=1", "--queue=1", "--step-tokens=64")
    engine = Engine(make_folder(), options)
    add_bert(engine, "bert", BertShape(256, 1024, 4, 4))
    try:
        engine.start()
        engine.wait_for("bert", "ready")
        yield engine
    finally:
        engine.stop()


MANY = {"model": "bert", "input": ["pay " * 100] * 2000}


def _idle(engine: Engine) -> Callable[[], bool]:
    def idle() -> bool:
        status = engine.status("bert")
        return status.in_use == status.queued == 0

    return idle


def test_hanging_up_ends_the_reading(busy: Engine) -> None:
    with pytest.raises(EngineError) as caught:
        busy.client(timeout=0.7).embed(MANY)
    assert caught.value.code == "engine_timeout"
    wait_until(_idle(busy), 10, "an idle encoder")


def test_a_cancelled_request_says_so(busy: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(busy.client().embed, MANY, "long-one")
        wait_until(lambda: busy.status("bert").in_use == 1, 30, "a running request")
        assert busy.client().cancel("long-one")
        with pytest.raises(EngineError) as caught:
            asked.result(30)
    assert (caught.value.status, caught.value.code) == (409, "cancelled")
    wait_until(_idle(busy), 10, "an idle encoder")


def test_a_full_queue_is_a_503_and_a_short_request_overtakes_a_long_one(busy: Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(busy.client().embed, MANY, f"long-{each}") for each in range(2)]
        wait_until(lambda: busy.status("bert").in_use == 2, 30, "two running requests")
        error = refused(busy.client().embed)
        assert (error.status, error.code) == (503, "queue_full")
        assert error.retry_after is not None
        assert error.retry_after >= 1
        busy.client().cancel("long-0")
        assert busy.client().embed({"model": "bert", "input": "pay"}).usage["total_tokens"] == 3
        assert not asked[1].done()
        busy.client().cancel("long-1")
        for each in asked:
            assert isinstance(each.exception(30), EngineError)


@pytest.mark.parametrize(
    ("shape", "capabilities", "complaint"),
    [
        (BertShape(labels=()), BOTH, "has no classification head with named classes"),
        (BertShape(pooler=False), BOTH, "lacks the pooler before its classification head"),
        (BertShape(), ("chat",), "says it can chat, but the most that a model"),
    ],
)
def test_a_manifest_that_promises_too_much_is_refused_with_the_remedy(
    own_engine: Engine, shape: BertShape, capabilities: tuple[str, ...], complaint: str
) -> None:
    add_bert(own_engine, "bert", shape, capabilities)
    own_engine.start()
    error = own_engine.wait_for("bert", "failed").error or ""
    assert complaint in error
    assert "capabilities" in error


def test_a_decoder_whose_manifest_says_embed_is_refused(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    manifest = own_engine.models / "tiny.toml"
    manifest.write_text(manifest.read_text() + 'capabilities = ["chat", "embed"]\n')
    own_engine.start()
    assert "says it can embed" in (own_engine.wait_for("tiny", "failed").error or "")


def test_an_adapter_of_an_encoder_is_refused_and_the_encoder_reads_on(
    encoders: Engine, client: EngineClient
) -> None:
    digest = write_lora(encoders.models / "tuned.gguf", architecture="bert")
    write_adapter_manifest(encoders.models, "tuned", digest, "bert")
    with pytest.raises(EngineError, match="no model that adapters work on") as caught:
        client.embed({"model": "tuned", "input": "please pay"})
    assert (caught.value.status, caught.value.param) == (400, "model")
    assert client.embed({"model": "bert", "input": "please pay"}).identity.model == "bert"
    (encoders.models / "tuned.toml").unlink()
