"""Five hundred damaged files are offered to a running engine; nothing but themselves suffers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from appliance.catalogue.digest import file_digest
from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from appliance.engine.overview import ModelStatus
from tests.service.engine.conftest import Engine, add_model, chat
from tests.support.footprint import Footprint
from tests.support.mutants import Sections, mutant
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.wait import wait_until

MUTANTS = 500
BATCH = 25
DEADLINE = 120.0
"""Seconds for each batch to come to rest; one file takes a second or two on a busy machine."""
POOL = 40
"""Threads that the supervisor's pool may start, and keeps."""


@dataclass
class Neighbour:
    """Somebody who asks the sound model without end."""

    answers: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)

    def ask(self, path: Path, over: threading.Event) -> None:
        """Ask until it is over."""
        with closing(EngineClient(path, timeout=DEADLINE)) as client:
            while not over.wait(0.02):
                began = time.monotonic()
                try:
                    answer = client.chat(chat())
                except EngineError as error:
                    self.faults.append(str(error))
                    return
                if answer.usage["completion_tokens"] != 8:
                    self.faults.append("a short answer")
                self.answers += 1
                self.slowest = max(self.slowest, time.monotonic() - began)


@contextmanager
def asking(engine: Engine) -> Iterator[Neighbour]:
    """A neighbour who asks meanwhile."""
    neighbour, over = Neighbour(), threading.Event()
    thread = threading.Thread(target=neighbour.ask, args=(engine.socket, over))
    thread.start()
    try:
        yield neighbour
    finally:
        over.set()
        thread.join()


def offer(engine: Engine, client: EngineClient, sections: Sections, numbers: range) -> Counter[str]:
    """Put mutants into the folder, wait until each came to rest, ask those that load, remove all.

    Returns:
        How many came to rest in which way.
    """
    names = [f"mutant-{number}" for number in numbers]
    for name, number in zip(names, numbers, strict=True):
        weights = engine.models / f"{name}.gguf"
        weights.write_bytes(mutant(sections, number))
        write_manifest(engine.models, name, file_digest(weights))

    def at_rest() -> list[ModelStatus] | None:
        found = [model for model in client.models() if model.id in names]
        resting = all(model.state in {"ready", "failed", "backoff"} for model in found)
        return found if len(found) == len(names) and resting else None

    found = wait_until(at_rest, DEADLINE, f"rest for mutants {numbers}")
    assert found is not None
    ways = Counter(_asked(client, model) for model in found)
    for name in names:
        (engine.models / f"{name}.toml").unlink()
        (engine.models / f"{name}.gguf").unlink()
    wait_until(lambda: len(client.models()) == 1, DEADLINE, "engine without mutants")
    return ways


def _asked(client: EngineClient, model: ModelStatus) -> str:
    """How a mutant fared; one that was loaded is asked, and answers or says why not."""
    if model.state != "ready":
        assert model.error
        return model.state
    try:
        client.complete({"model": model.id, "prompt": "the user", "max_tokens": 4})
    except EngineError as error:
        return error.code if error.status in {400, 500, 503} else str(error)
    return "answered"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_mutants_disturb_neither_supervisor_nor_neighbour(
    own_engine: Engine, tmp_path: Path
) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    base = tmp_path / "base.gguf"
    write_tiny_gguf(base, Shape(width=32, inner=32, layers=1))
    sections = Sections.of(base)
    assert own_engine.process is not None
    supervisor = psutil.Process(own_engine.process.pid)
    ways: Counter[str] = Counter()
    for each in own_engine.clients:
        each.close()
    with closing(EngineClient(own_engine.socket, timeout=DEADLINE)) as client:
        offer(own_engine, client, sections, range(MUTANTS, MUTANTS + 3))  # threads and so on
        (runner,) = wait_until(lambda: _alone(supervisor), 30, "lonely runner")
        before = Footprint.of(supervisor)
        with asking(own_engine) as neighbour:
            for first in range(0, MUTANTS, BATCH):
                ways += offer(own_engine, client, sections, range(first, first + BATCH))
        assert (neighbour.faults, neighbour.answers > MUTANTS) == ([], True)
        assert neighbour.slowest < 30
        assert wait_until(lambda: _alone(supervisor), 30, "lonely runner") == [runner]
        wait_until(
            lambda: Footprint.of(supervisor).descriptors <= before.descriptors, 30, "closed files"
        )
        assert Footprint.of(supervisor).threads <= before.threads + POOL
        assert client.models()[0].body["cloister"]["restarts"] == 0
    # Most are refused by their structure, some are loaded and answer, and nothing else happens.
    assert ways.total() == MUTANTS
    assert ways["failed"] > MUTANTS // 2
    assert ways["answered"] > 0
    known = {"failed", "backoff", "answered", "model_failed", "runner_died", "decode_failed"}
    assert ways.keys() <= known
    assert "Traceback" not in own_engine.log()


def _alone(supervisor: psutil.Process) -> list[psutil.Process]:
    """The supervisor's children, once there is only one."""
    children = supervisor.children(recursive=True)
    return children if len(children) == 1 else []
