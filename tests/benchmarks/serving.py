"""Compare Cloister's engine with llama-server on the same file; docs/benchmarks.md.

    python -m tests.benchmarks.serving --llama-server PATH [--model demo|1b|7b|PATH]

Each round starts every server in turn (A B A B ...), asks all of them the same, and stops it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path

from tests.benchmarks.measure import bandwidth, machine, table
from tests.benchmarks.peers import Server, Side, Size, cloister, llama_bench, running
from tests.benchmarks.weights import SHAPES, BenchmarkError, Model, model
from tests.benchmarks.workloads import Load, Newcomer, Single, Workload, loads

WORKLOADS = ("free", "triage", "copy", "newcomer", "single")
Rounds = dict[str, list[dict[str, float]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a measurement could not be made, 130 if interrupted."""
    given = _parser().parse_args(arguments)
    # So that the server under measurement is stopped however this ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="weights-") as name:
            folder = (given.weights or Path(name)).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            with model(given.model, folder) as subject:
                _measure(given, subject)
    except BenchmarkError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _measure(given: argparse.Namespace, subject: Model) -> None:
    speed = bandwidth(given.threads)
    about = f"{given.model}: {subject.size / 1e6:.0f} MB; {given.threads} threads;"
    about += f" {given.rounds} rounds; {machine()}; memory {speed / 1e9:.1f} GB/s"
    if not given.json:
        print(about, flush=True)
    found: dict[str, Rounds] = {}
    for workload in _workloads(given, speed):
        found[workload.title] = _rounds(given, subject, workload)
        if not given.json:
            print(f"\n{workload.title}\n\n{table(found[workload.title])}", flush=True)
    if given.json:
        print(json.dumps({"about": about, "workloads": found}, indent=1))


def _workloads(given: argparse.Namespace, speed: float) -> Iterator[Workload]:
    clients = [int(number) for number in given.clients.split(",")]
    for name in given.workload or WORKLOADS:
        if name == "newcomer":
            yield Newcomer()
        elif name == "single":
            yield Single(speed)
        else:
            yield from loads(name, clients, given.requests)


def _rounds(given: argparse.Namespace, subject: Model, workload: Workload) -> Rounds:
    """The figures of each side, round by round."""
    sides = list(_sides(given, workload))
    size = Size(given.threads, workload.context, workload.sequences)
    found: Rounds = {side.name: [] for side in sides}
    starts = {side.name: partial(running, side, subject, size) for side in sides}
    with ExitStack() as stack:
        if given.together:
            servers = {name: stack.enter_context(start()) for name, start in starts.items()}
            starts = {name: partial(nullcontext, server) for name, server in servers.items()}
        _turns(given, subject, workload, sides, starts, found)
    return found


def _turns(
    given: argparse.Namespace,
    subject: Model,
    workload: Workload,
    sides: Sequence[Side],
    starts: Mapping[str, Callable[[], AbstractContextManager[Server]]],
    found: Rounds,
) -> None:
    for turn in range(given.rounds):
        reference: list[str] = []
        for side in sides:
            with starts[side.name]() as server:
                outcome = workload.run(side, server, subject, turn)
            reference = reference or outcome.texts
            same = sum(map(str.__eq__, reference, outcome.texts)) / len(reference)
            found[side.name].append(outcome.figures | {"same": same})
        if given.llama_bench and isinstance(workload, Single):
            pace = llama_bench(given.llama_bench, subject, given.threads, workload.tokens)
            found.setdefault("llama-bench", []).append(workload.figures(pace, subject))


def _sides(given: argparse.Namespace, workload: Workload) -> Iterator[Side]:
    """Cloister first: the others are compared with it."""
    yield cloister("cloister", given.engine)
    for variant in given.variant:
        name, _, arguments = variant.partition("=")
        yield cloister(name, arguments)
    environment = dict(each.split("=", 1) for each in given.peer_environment)
    if given.llama_server:
        program = (str(given.llama_server),)
        yield Side("llama-server", "llama-server", program, environment=environment)
        if isinstance(workload, Load) and workload.checked:
            name = "llama-server, grammar"
            yield Side(name, "llama-server", program, environment=environment, bare_grammar=True)
    if "llama_cpp.server" in given.peer:
        python = (str(given.peer_python), "-m", "llama_cpp.server")
        yield Side("llama_cpp.server", "llama_cpp.server", python, environment=environment)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving")
    add = parser.add_argument
    add("--llama-server", type=_program, help="compare with this llama-server")
    add("--llama-bench", type=_program, help="compare a single stream with this llama-bench")
    add("--peer", action="append", choices=["llama_cpp.server"], default=[])
    add("--peer-python", default=sys.executable, help="a Python that has llama_cpp.server")
    add("--peer-environment", action="append", default=[], metavar="NAME=VALUE")
    add("--variant", action="append", default=[], metavar="NAME=ARGUMENTS", help="of our engine")
    add("--engine", default="", metavar="ARGUMENTS", help="further arguments of our engine")
    add("--model", default="demo", help=f"demo, {', '.join(SHAPES)}, or a GGUF file")
    add("--weights", type=Path, help="keep the models that are made in this folder")
    add("--workload", action="append", choices=WORKLOADS, help="several times for several")
    add("--clients", default="1,8,32", help="for free text and triage")
    add("--requests", type=int, help="of each load, instead of its usual number")
    add("--rounds", type=int, default=3)
    add("--together", action="store_true", help="start all servers once, and ask them in turn")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--json", action="store_true", help="print every round's figures as JSON")
    return parser


def _program(path: str) -> Path:
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{path} is no program; docs/benchmarks.md builds it")
    return Path(path).resolve()


if __name__ == "__main__":
    sys.exit(main())
