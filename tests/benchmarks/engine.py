"""Measure the engine: `python -m tests.benchmarks.engine [--models DIR] [--billion]`.

Prints one line a figure. Runs real processes over the real socket; `--billion` also makes a model
of 1.1 billion random weights (1.2 GB of disk) in a temporary folder. Other load on the machine
shows in every figure.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from appliance.catalogue.manifest import read_manifest
from appliance.engine.client import EngineClient
from appliance.engine.launch import RUNNER_ENVIRONMENT
from appliance.engine.llama import Loaded, LogTail, load
from appliance.engine.options import EngineOptions
from appliance.engine.sampling import Sampling
from appliance.engine.sequence import Sequence
from appliance.engine.stepper import Stepper
from appliance.engine.vocab import Vocabulary
from tests.support.tiny_gguf import BILLION, write_manifest, write_tiny_gguf
from tests.support.wait import wait_until

LIVE = 8
SCHEMA = {
    "type": "object",
    "properties": {
        "department": {"enum": ["billing", "technical", "complaints"]},
        "priority": {"enum": ["low", "normal", "urgent"]},
        "needs_a_person": {"type": "boolean"},
    },
    "required": ["department", "priority", "needs_a_person"],
    "additionalProperties": False,
}


@dataclass
class Running:
    """An engine under measurement."""

    client: EngineClient
    supervisor: psutil.Process
    model: str
    ends: dict[str, float]

    @property
    def runner(self) -> psutil.Process:
        return self.supervisor.children()[0]

    def counts(self) -> dict[str, float]:
        found = re.findall(
            r"cloister_engine_(\w+?)(?:_total)?\{model=[^}]*\} (\S+)", self.client.metrics()
        )
        return {name: float(value) for name, value in found}

    def body(self, content: str, tokens: int, **changes: object) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": tokens,
            "temperature": 0.7,
            "top_k": 40,
            "logit_bias": self.ends,
            **changes,
        }


@contextmanager
def engine(models: Path, name: str, given: argparse.Namespace) -> Iterator[Running]:
    """A supervisor on the folder `models`, ready to answer for the model `name`."""
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    command = [sys.executable, "-m", "appliance.engine", f"--socket={folder / 's'}"]
    command += [f"--models={models}", f"--run-dir={folder}", f"--threads={given.threads}"]
    process = subprocess.Popen(
        [*command, f"--step-tokens={given.step_tokens}"], stderr=subprocess.DEVNULL
    )
    client = EngineClient(folder / "s")
    try:
        wait_until(client.healthy, 30, "supervisor")
        wait_until(lambda: client.models()[0].state == "ready", 300, "model")
        yield Running(client, psutil.Process(process.pid), name, _ends(models, name))
    finally:
        client.close()
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def _ends(models: Path, name: str) -> dict[str, float]:
    """A bias against the tokens that end an answer, so that all have the same length."""
    loaded, vocabulary = _load(models, name, 1)
    ends = {str(token): -100.0 for token in vocabulary.ends}
    loaded.free()
    return ends


_LOG = LogTail()


def _load(models: Path, name: str, threads: int) -> tuple[Loaded, Vocabulary]:
    _LOG.install()
    manifest = read_manifest(models / f"{name}.toml")
    options = EngineOptions(threads=threads)
    loaded = load(manifest.weights(models), manifest.context, options, _LOG)
    return loaded, Vocabulary(loaded)


class _Nowhere:
    def started(self) -> None: ...

    def take(self, *_: object) -> None: ...


def decode_alone(models: Path, name: str, threads: int, steps: int) -> tuple[float, float]:
    """Milliseconds of a prefill of 32 tokens and of a step of 8 sequences, without any server."""
    loaded, vocabulary = _load(models, name, threads)
    stepper = Stepper(loaded, vocabulary.ends, EngineOptions(threads=threads))
    live = [
        Sequence(_Nowhere(), Sampling(temperature=0), 0, [300 + slot] * 32, 4096, slot=slot)
        for slot in range(LIVE)
    ]
    prefills = [_timed(lambda one=one: _decode(stepper, [one])) for one in live]
    times = []
    for _ in range(steps):
        for each in live:
            each.tokens.append(301)
        times.append(_timed(lambda: _decode(stepper, live)))
    loaded.free()
    return statistics.median(prefills) * 1e3, statistics.median(times) * 1e3


def _decode(stepper: Stepper, live: list[Sequence]) -> None:
    stepper.clear()
    for each in live:
        stepper.add(each, each.pending)
    stepper.decode()


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def share(run: Running, tokens: int) -> None:
    """Print how much of the runner's busy time is spent inside llama_decode."""

    def stream(number: int) -> None:
        with run.client.stream_chat(run.body(f"hello {number}", tokens)) as answer:
            for _ in answer:
                pass

    processes = {"supervisor": run.supervisor, "runner": run.runner, "client": psutil.Process()}
    before = run.counts()
    clocks = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
    began = time.perf_counter()
    with ThreadPoolExecutor(LIVE) as pool:
        list(pool.map(stream, range(LIVE)))
    wall = time.perf_counter() - began
    spent = {name: value - before[name] for name, value in run.counts().items()}
    made = spent["answer_tokens"]
    for name, process in processes.items():
        used = (sum(process.cpu_times()[:2]) - clocks[name]) / made * 1e6
        print(f"  CPU of the {name}: {used:.0f} us a token")
    print(f"  {made / wall:.0f} tokens/s, {spent['steps']:.0f} steps")
    print(f"  a step: {spent['decode_seconds'] / spent['steps'] * 1e3:.2f} ms in llama_decode")
    inside = spent["decode_seconds"] / spent["busy_seconds"]
    print(f"  share of wall time inside llama_decode: {inside:.1%}")


def first_token(run: Running, prefill: float) -> None:
    """Print the time to the first token of a short request on the idle engine."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        with run.client.stream_chat(run.body("Hello", 2)) as answer:
            next(chunk for chunk in answer if chunk.text)
            times.append((time.perf_counter() - began) * 1e3)
    print(f"  first token: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")
    print(f"  beyond a prefill of {prefill:.1f} ms: {statistics.median(times) - prefill:.1f} ms")


def memory(run: Running, models: Path) -> None:
    """Print resident sets beside what the model and its cache need."""
    weights = read_manifest(models / f"{run.model}.toml").weights(models).stat().st_size
    print(f"  supervisor: {run.supervisor.memory_info().rss / 1e6:.0f} MB resident")
    resident = run.runner.memory_info().rss / 1e6
    print(f"  runner: {resident:.0f} MB resident; weights {weights / 1e6:.0f} MB")


def jump_forward(run: Running) -> None:
    """Print how many decode steps an answer with a schema takes."""
    before = run.counts()
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    run.client.chat(run.body("Hello", 200, temperature=0, response_format=form))
    spent = {name: value - before[name] for name, value in run.counts().items()}
    print(f"  schema: {spent['answer_tokens']:.0f} tokens in {spent['steps']:.0f} steps")


def steadiness(run: Running) -> None:
    """Print how many answers are the same alone and among seven others."""
    for temperature in (0, 0.7):
        bodies = [
            run.body(f"Tell me about number {n}", 64, temperature=temperature, seed=n)
            for n in range(64)
        ]
        alone = [run.client.chat(body).text for body in bodies]
        with ThreadPoolExecutor(LIVE) as pool:
            among = [answer.text for answer in pool.map(run.client.chat, bodies)]
        same = sum(a == b for a, b in zip(alone, among, strict=True))
        print(f"  temperature {temperature}: {same} of {len(bodies)} answers same among others")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--name", default="demo")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--step-tokens", type=int, default=256)
    parser.add_argument("--billion", action="store_true")
    given = parser.parse_args()
    if not RUNNER_ENVIRONMENT.items() <= os.environ.items():
        # The OpenMP library reads these when it is loaded, before this function runs.
        again = [sys.executable, "-m", "tests.benchmarks.engine", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | RUNNER_ENVIRONMENT)  # noqa: S606 - itself
    prefill, step = decode_alone(given.models, given.name, given.threads, 200)
    print(f"{given.name}: decode alone: prefill of 32 {prefill:.2f}, step of {LIVE} {step:.2f} ms")
    with engine(given.models, given.name, given) as run:
        memory(run, given.models)
        first_token(run, prefill)
        share(run, 300)
        jump_forward(run)
        steadiness(run)
    if given.billion:
        with tempfile.TemporaryDirectory(prefix="billion-") as folder:
            models = Path(folder)
            digest = write_tiny_gguf(models / "billion.gguf", BILLION)
            write_manifest(models, "billion", digest, context=1024)
            print("billion: 1.1 billion random weights, Q8_0")
            with engine(models, "billion", given) as run:
                memory(run, models)
                share(run, 24)


if __name__ == "__main__":
    main()
