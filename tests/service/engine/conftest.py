"""A real supervisor with real runners on tiny models."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from appliance.engine.admin_client import EngineAdmin
from appliance.engine.client import EngineClient
from appliance.engine.overview import ModelStatus
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.wait import wait_until

ENDLESS = {"2": -100.0, "4": -100.0}
"""Bias against the tokens that end an answer: random weights would end it anywhere."""

SMALL = ("--threads=1", "--sequences=4", "--context=768", "--queue=4", "--step-tokens=32")


@dataclass
class Engine:
    """One supervisor under test."""

    folder: Path
    options: tuple[str, ...] = SMALL
    process: subprocess.Popen[bytes] | None = None
    clients: list[EngineClient] = field(default_factory=list)

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def socket(self) -> Path:
        return self.folder / "engine.sock"

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "appliance.engine",
                    f"--socket={self.socket}",
                    f"--models={self.models}",
                    f"--run-dir={self.folder / 'run'}",
                    f"--state-dir={self.state}",
                    *self.options,
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self.client().healthy, 30, "healthy supervisor")

    def client(self, timeout: float = 60) -> EngineClient:
        client = EngineClient(self.socket, timeout)
        self.clients.append(client)
        return client

    def admin(self) -> EngineAdmin:
        admin = EngineAdmin(self.socket, 120)
        self.clients.append(admin)
        return admin

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def status(self, name: str) -> ModelStatus:
        client = self.client()
        return next(model for model in client.models() if model.id == name)

    def wait_for(self, name: str, state: str, timeout: float = 60) -> ModelStatus:
        def in_state() -> ModelStatus | None:
            found = self.status(name)
            return found if found.state == state else None

        return wait_until(in_state, timeout, f"state {state} of {name}")  # type: ignore[return-value]

    def runners(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


def add_model(engine: Engine, name: str, seed: int = 1, shape: Shape | None = None) -> Path:
    """Put a tiny model with a right manifest into the engine's folder; returns the weights."""
    weights = engine.models / f"{name}.gguf"
    digest = write_tiny_gguf(weights, shape, seed)
    write_manifest(engine.models, name, digest)
    return weights


@pytest.fixture(scope="session")
def make_folder() -> Iterator[Callable[[], Path]]:
    """Short paths: the name of an AF_UNIX socket holds 107 bytes."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="engine-")))
        (made[-1] / "models").mkdir()
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def engine(make_folder: Callable[[], Path]) -> Iterator[Engine]:
    """One engine with one good model, for all tests that break nothing."""
    engine = Engine(make_folder())
    add_model(engine, "tiny")
    try:
        engine.start()
        engine.wait_for("tiny", "ready")
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def own_engine(make_folder: Callable[[], Path]) -> Iterator[Engine]:
    """An engine for one test alone; not started."""
    engine = Engine(make_folder())
    try:
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def client(engine: Engine) -> EngineClient:
    """A client of the shared engine."""
    return engine.client()


def chat(content: str = "the user", **changes: object) -> dict[str, Any]:
    """A chat request that makes exactly as many tokens as asked for, 8 by default."""
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 8,
        "temperature": 0,
        "logit_bias": ENDLESS,
        **changes,
    }


def completion(prompt: object = "the user", **changes: object) -> dict[str, Any]:
    """The same for a plain completion."""
    body = chat(**changes)
    del body["messages"]
    return {**body, "prompt": prompt}
