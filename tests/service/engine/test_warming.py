"""What requests of a kind begin with is decoded before the first, and again after a fall."""

from __future__ import annotations

import re
from typing import Any

import pytest

from appliance.engine.errors import EngineError
from tests.service.engine.conftest import SMALL, Engine, add_model, chat
from tests.support.wait import wait_until

FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": {"type": "boolean"}, "strict": True},
}


def request(instructions: str, text: str, model: str = "tiny") -> dict[str, Any]:
    """A request as a task makes it."""
    messages = [
        {"role": "system", "content": f"{instructions} the of and to in is it was for on " * 2},
        {"role": "user", "content": text},
    ]
    return {**chat(), "model": model, "messages": messages, "response_format": FORMAT}


def kind(instructions: str, model: str = "tiny") -> dict[str, Any]:
    """What is handed over for it."""
    return {"model": model, "samples": [request(instructions, text, model) for text in "ab"]}


def metric(engine: Engine, name: str, model: str = "tiny") -> float:
    """A metric of one model."""
    found = re.search(
        rf'^cloister_engine_{name}(?:_total)?{{model="{model}"}} (\S+)$',
        engine.client().metrics(),
        re.MULTILINE,
    )
    assert found is not None
    return float(found[1])


def wait_warm(engine: Engine, count: int, model: str = "tiny") -> None:
    """Wait until the model's runner has decoded so many beginnings ahead."""
    wait_until(
        lambda: engine.status(model).body["cloister"]["warmed"] == count, 60, f"{count} beginnings"
    )


def shared_by(engine: Engine, body: dict[str, Any]) -> tuple[float, int]:
    """Tokens that a request found decoded, and how many its prompt has."""
    before = metric(engine, "shared_tokens", body["model"])
    prompt = engine.client().chat(body).usage["prompt_tokens"]
    return metric(engine, "shared_tokens", body["model"]) - before, prompt


def test_the_first_request_of_a_kind_finds_its_beginning_decoded(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.client().want_beginnings([kind("the user"), kind("an assistant")])
    wait_warm(own_engine, 2)
    # Nobody asked yet, and nothing is counted as if somebody had.
    assert metric(own_engine, "requests") == metric(own_engine, "prompt_tokens") == 0
    status = own_engine.status("tiny")
    assert (status.in_use, status.queued) == (0, 0)
    for instructions in ("the user", "an assistant"):
        shared, prompt = shared_by(own_engine, request(instructions, "to it"))
        assert prompt - 15 < shared < prompt


def test_a_restarted_runner_decodes_them_again(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.client().want_beginnings([kind("the user")])
    wait_warm(own_engine, 1)
    own_engine.runners()[0].kill()
    wait_until(lambda: own_engine.status("tiny").body["cloister"]["restarts"] == 1, 30, "restart")
    own_engine.wait_for("tiny", "ready")
    wait_warm(own_engine, 1)
    shared, prompt = shared_by(own_engine, request("the user", "to it"))
    assert shared > prompt - 15


def test_the_same_list_again_decodes_nothing_and_another_list_takes_its_place(
    own_engine: Engine,
) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    client = own_engine.client()
    client.want_beginnings([kind("the user")])
    wait_warm(own_engine, 1)
    steps = metric(own_engine, "steps")
    client.want_beginnings([kind("the user")])
    client.want_beginnings([kind("the user"), kind("an assistant")])
    wait_warm(own_engine, 2)
    once = metric(own_engine, "steps") - steps
    client.want_beginnings([kind("for that with")])
    wait_warm(own_engine, 3)
    assert metric(own_engine, "steps") - steps <= 2 * once


def test_an_aliass_beginnings_are_decoded_by_whatever_it_points_at(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    add_model(own_engine, "second", seed=2)
    own_engine.start()
    for name in ("tiny", "second"):
        own_engine.wait_for(name, "ready")
    own_engine.client().want_beginnings([kind("the user", "front-desk")])
    admin = own_engine.admin()
    admin.activate("front-desk", "tiny", "tests", own_engine.status("tiny").sha256)
    wait_warm(own_engine, 1)
    assert own_engine.status("second").body["cloister"]["warmed"] == 0
    admin.activate("front-desk", "second", "tests", own_engine.status("second").sha256)
    wait_warm(own_engine, 1, "second")
    before = metric(own_engine, "shared_tokens", "second")
    own_engine.client().chat(request("the user", "to it", "front-desk"))
    assert metric(own_engine, "shared_tokens", "second") > before + 16


def test_no_more_are_decoded_than_are_kept_and_none_that_no_model_takes(
    own_engine: Engine,
) -> None:
    own_engine.options = (*SMALL, "--prefixes=2")
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    wrong = kind("the user")
    wrong["samples"][0]["nonsense"] = 1
    unknown = kind("the user", "nobody")
    kinds = [unknown, kind("the user"), kind("an assistant"), kind("for that with")]
    client = own_engine.client()
    client.want_beginnings(kinds)
    wait_warm(own_engine, 2)
    client.want_beginnings([wrong, kind("as at by")])
    wait_warm(own_engine, 3)
    assert "is not decoded ahead (400)" in own_engine.log()
    assert "Traceback" not in own_engine.log()


@pytest.mark.parametrize(
    ("kinds", "param"),
    [
        ([{"model": "tiny"}], "beginnings.0.samples"),
        ([{"model": "", "samples": [{}, {}]}], "beginnings.0.model"),
        ([{"model": "tiny", "samples": [{}]}], "beginnings.0.samples"),
        ([{"model": "tiny", "samples": [{}, {}], "more": 1}], "beginnings.0.more"),
        ([kind("the user")] * 65, "beginnings"),
        ([kind("the user" * 150_000)], "beginnings"),
    ],
    ids=["missing", "unnamed", "one", "unknown", "many", "long"],
)
def test_a_wrong_list_is_refused_by_name(
    engine: Engine, kinds: list[dict[str, Any]], param: str
) -> None:
    with pytest.raises(EngineError) as caught:
        engine.client().want_beginnings(kinds)
    assert (caught.value.status, caught.value.param) == (400, param)
