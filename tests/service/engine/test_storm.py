"""A thousand clients that hang up whenever they like leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from appliance.engine.client import EngineClient
from tests.service.engine.conftest import ENDLESS, Engine, add_model
from tests.support.footprint import Footprint
from tests.support.loop import run_apart
from tests.support.wait import wait_until

CLIENTS = 1000
AT_ONCE = 48
POOL = min(32, (os.cpu_count() or 1) + 4)
"""Threads that asyncio's pool may still start: it does so as it needs them, and keeps them."""
OPTIONS = ("--threads=1", "--sequences=4", "--context=256", "--queue=200", "--step-tokens=32")
PROBE = {
    "model": "tiny",
    "prompt": "it was as at by this from or",
    "max_tokens": 24,
    "temperature": 0,
    "logit_bias": ENDLESS,
}
SCHEMA = {
    "type": "object",
    "properties": {"who": {"type": "string", "maxLength": 20}, "is": {"type": "boolean"}},
    "required": ["who", "is"],
    "additionalProperties": False,
}


def _body(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """Any kind of request that the engine takes."""
    body: dict[str, Any] = {"model": "tiny", "max_tokens": dice.randint(1, 120)}
    body["stream"] = dice.random() < 0.6
    words = "for that with " * 8 if dice.random() < 0.5 else ""  # a beginning that many share
    words += " ".join(dice.choices(["the", "user", "and", "for", "that", "with"], k=9))
    if dice.random() < 0.3:
        body |= {"prompt": words, "n": dice.randint(1, 2), "logit_bias": ENDLESS}
        return "/v1/completions", body
    body["messages"] = [{"role": "user", "content": words}]
    if dice.random() < 0.4:
        shape = {"name": "answer", "schema": SCHEMA}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    else:
        body |= {"n": dice.randint(1, 2), "logit_bias": ENDLESS}
    return "/v1/chat/completions", body


def _request(dice: random.Random) -> bytes:
    path, body = _body(dice)
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: e\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


async def _client(path: Path, dice: random.Random) -> str:
    """Ask, and hang up: while asking, before the first byte, in the middle, or at the end."""
    when = dice.choice(["asking", "waiting", "reading", "reading", "reading", "end"])
    reader, writer = await asyncio.open_unix_connection(str(path))
    raw = _request(dice)
    part = b""
    try:
        if when == "asking":
            writer.write(raw[: dice.randrange(len(raw))])
            return when
        writer.write(raw)
        await writer.drain()
        if when == "waiting":
            await asyncio.sleep(dice.random() * 0.1)
            return when
        # Some wait for the first byte however busy the machine is; all are impatient from then on.
        async with asyncio.timeout(dice.choice([0.5, 60])):
            part = await reader.read(4096)
        left = 1 << 20 if when == "end" else dice.randint(1, 20_000)
        async with asyncio.timeout(2 if when == "end" else 0.5):
            while part and (left := left - len(part)) > 0:
                if when == "end" and part.endswith((b"0\r\n\r\n", b"}")):
                    break
                part = await reader.read(4096)
        return when
    except (TimeoutError, ConnectionError):
        return when if part else "patience"
    finally:
        # Half of them drop the line with unread bytes in it, which resets the connection.
        writer.transport.abort() if dice.random() < 0.5 else writer.close()


def storm(path: Path, numbers: range) -> dict[str, int]:
    """Let clients come and go; how many left at which moment."""

    async def all_of_them() -> list[str]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> str:
            async with gate:
                return await _client(path, random.Random(number))  # noqa: S311 - a repeatable storm

        return await asyncio.gather(*map(one, numbers))

    left = run_apart(all_of_them())
    return {when: left.count(when) for when in sorted(set(left))}


@pytest.fixture
def stormy(own_engine: Engine) -> Iterator[tuple[Engine, EngineClient]]:
    """An engine with a client of its own: those of the fixture would hold connections open."""
    own_engine.options = OPTIONS
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    for each in own_engine.clients:
        each.close()
    with closing(EngineClient(own_engine.socket)) as client:
        yield own_engine, client


def _footprints(engine: Engine) -> list[Footprint]:
    assert engine.process is not None
    supervisor = psutil.Process(engine.process.pid)
    return [Footprint.of(process) for process in (supervisor, *supervisor.children())]


def _is_as_before(now: list[Footprint], before: list[Footprint]) -> bool:
    return all(
        one.descriptors == then.descriptors and one.threads <= then.threads + POOL
        for one, then in zip(now, before, strict=True)
    )


def _metric(client: EngineClient, name: str) -> float:
    (line,) = (one for one in client.metrics().splitlines() if one.startswith(f"{name}{{"))
    return float(line.rpartition(" ")[2])


def test_a_thousand_clients_that_hang_up_leave_nothing_behind(
    stormy: tuple[Engine, EngineClient],
) -> None:
    engine, client = stormy

    def quiet() -> bool:
        (model,) = client.models()
        return model.in_use == model.queued == 0

    storm(engine.socket, range(150))  # what is made once is made now: threads, compiled schemas
    wait_until(quiet, 60, "quiet engine")
    said = client.complete(PROBE).text
    before = _footprints(engine)
    left = storm(engine.socket, range(1000, 1000 + CLIENTS))
    assert sum(left.values()) == CLIENTS
    assert all(left.get(when, 0) > 50 for when in ("asking", "waiting", "reading"))
    wait_until(quiet, 60, "quiet engine")
    wait_until(lambda: _is_as_before(_footprints(engine), before), 20, f"footprint like {before}")
    assert client.complete(PROBE).text == said
    # Storms do share beginnings and run out of cells, so that all ways to leave were taken.
    assert _metric(client, "cloister_engine_shared_tokens_total") > 1000
    assert _metric(client, "cloister_engine_preemptions_total") > 0
    # Every cell can be had: a request that takes them all is not put off.
    preempted = _metric(client, "cloister_engine_preemptions_total")
    full = client.complete({**PROBE, "prompt": [300] * 240, "max_tokens": 16})
    assert full.usage["completion_tokens"] == 16
    assert _metric(client, "cloister_engine_preemptions_total") == preempted
    assert "Traceback" not in engine.log()
    (model,) = client.models()
    assert model.body["cloister"]["restarts"] == 0
