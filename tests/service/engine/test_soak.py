"""A day's mixture of requests, pressed into a minute and a half: nothing grows."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import median
from typing import Any

import psutil
import pytest

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from tests.service.engine.conftest import ENDLESS, Engine, add_model
from tests.support.footprint import Footprint

SECONDS = 90.0
CLIENTS = 6
SAMPLE_SECONDS = 0.25
GROWTH = {"supervisor": 3_000_000, "runner": 8_000_000}
"""Bytes by which a resident set may grow between a quarter of the time and its end. On a quiet
machine it is one and four, in pieces that become smaller: pages that the allocator keeps."""
OPTIONS = ("--threads=1", "--sequences=4", "--context=768", "--queue=64", "--step-tokens=32")
WORDS = ("the", "of", "and", "to", "in", "is", "it", "was", "for", "on", "that", "with", "as", "at")

Ask = Callable[[EngineClient, random.Random], None]


def _body(dice: random.Random, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - request fields
    text = " ".join(dice.choices(WORDS, k=dice.randint(1, 60)))
    beginning = " ".join(WORDS) * dice.randint(0, 2)  # three tasks, so to speak
    messages = [{"role": "system", "content": beginning}, {"role": "user", "content": text}]
    most = dice.randint(1, 60)
    plain = {"model": "tiny", "messages": messages, "max_tokens": most, "logit_bias": ENDLESS}
    return {**plain, "temperature": dice.choice([0, 1]), **changes}


def whole(client: EngineClient, dice: random.Random) -> None:
    client.chat(_body(dice, n=dice.randint(1, 2)))


def stream(client: EngineClient, dice: random.Random) -> None:
    with client.stream_chat(_body(dice, logprobs=dice.random() < 0.2)) as chunks:
        list(chunks)


def hang_up(client: EngineClient, dice: random.Random) -> None:
    with client.stream_chat(_body(dice)) as chunks:
        for _ in range(dice.randint(0, 5)):
            next(chunks, None)


def cancel(client: EngineClient, dice: random.Random) -> None:
    name = f"soak-{dice.getrandbits(64):x}"
    with client.stream_chat(_body(dice), name) as chunks:
        next(chunks, None)
        client.cancel(name)
        list(chunks)


def schema(client: EngineClient, dice: random.Random) -> None:
    """One of more schemas than are kept."""
    shape = {"type": "string", "maxLength": dice.randint(1, 200)}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": shape}}
    client.chat(_body(dice, response_format=form, logit_bias={}))


def complete(client: EngineClient, dice: random.Random) -> None:
    prompt = [dice.randint(5, 500) for _ in range(dice.randint(1, 190))]
    client.complete({"model": "tiny", "prompt": prompt, "max_tokens": dice.randint(1, 60)})


def mistake(client: EngineClient, dice: random.Random) -> None:
    wrong = dice.choice([{"model": "none"}, {"n": 99}, {"nonsense": 1}, {"max_tokens": 10_000}])
    with pytest.raises(EngineError) as caught:
        client.chat(_body(dice, **wrong))
    assert caught.value.status in {400, 404}


def look(client: EngineClient, _dice: random.Random) -> None:
    client.models()
    client.metrics()


MIXTURE: tuple[Ask, ...] = (whole, stream, stream, hang_up, cancel, schema, complete, mistake, look)


def _work(engine: Engine, number: int, over: threading.Event) -> Counter[str]:
    dice, done = random.Random(number), Counter[str]()  # noqa: S311 - a repeatable mixture
    with closing(EngineClient(engine.socket)) as client:
        while not over.is_set():
            ask = dice.choice(MIXTURE)
            ask(client, dice)
            done[ask.__name__] += 1
    return done


def _watch(processes: list[psutil.Process]) -> list[list[Footprint]]:
    """What the processes hold, again and again for as long as the soak lasts."""
    end, seen = time.monotonic() + SECONDS, []
    while time.monotonic() < end:
        seen.append([Footprint.of(process) for process in processes])
        time.sleep(SAMPLE_SECONDS)  # between two samples
    return seen


def _growth(seen: list[Footprint]) -> float:
    """Bytes by which the resident set grew from a quarter of the time to its end."""
    window = len(seen) // 20
    quarter = seen[len(seen) // 4 - window : len(seen) // 4 + window]
    last = seen[-2 * window :]
    return median(one.resident for one in last) - median(one.resident for one in quarter)


@pytest.mark.slow
def test_memory_descriptors_and_threads_stay_as_they_are(own_engine: Engine) -> None:
    own_engine.options = OPTIONS
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    for each in own_engine.clients:
        each.close()
    assert own_engine.process is not None
    supervisor = psutil.Process(own_engine.process.pid)
    (runner,) = supervisor.children()
    over = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(_work, own_engine, number, over) for number in range(CLIENTS)]
        try:
            seen = _watch([supervisor, runner])
        finally:
            over.set()
        done = sum((each.result(60) for each in working), Counter())
    assert done.keys() == {ask.__name__ for ask in MIXTURE}
    for name, found in zip(GROWTH, zip(*seen, strict=True), strict=True):
        assert _growth(list(found)) < GROWTH[name], (name, [one.resident for one in found[::20]])
        later = found[len(found) // 4 :]
        assert len({one.threads for one in later}) <= 2, name
        # A client has two connections at most, its answer and a cancellation.
        assert max(one.descriptors for one in later) <= found[0].descriptors + 4 * CLIENTS, name
    with closing(EngineClient(own_engine.socket)) as client:
        (model,) = client.models()
        assert (model.in_use, model.queued) == (0, 0)
        assert model.body["cloister"]["restarts"] == 0
    assert supervisor.children() == [runner]
    assert "Traceback" not in own_engine.log()
