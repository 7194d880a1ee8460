"""The servers that are compared: Cloister's engine, llama-server, and llama_cpp.server.

Each is started for one measurement and stopped after it, so no two of them share the machine.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from tests.benchmarks.drive import Address, Request
from tests.benchmarks.weights import REPOSITORY, BenchmarkError, Model
from tests.support.wait import wait_until

_READY_SECONDS = 600
_STOP_SECONDS = 30
_LOG_BYTES = 2000

Kind = Literal["cloister", "llama-server", "llama_cpp.server"]


@dataclass(frozen=True)
class Size:
    """What all servers get alike.

    Args:
        threads: of llama.cpp.
        context: tokens of the KV cache that all sequences share.
        sequences: decoded at the same time.
    """

    threads: int
    context: int
    sequences: int


@dataclass(frozen=True)
class Side:
    """One of the servers, as it is started and asked.

    Args:
        name: in the tables.
        program: how it is started, without its sizes.
        arguments: further ones.
        environment: variables set for it.
        bare_grammar: ask for JSON by a grammar without white space, and for prompt caching.
    """

    name: str
    kind: Kind
    program: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    bare_grammar: bool = False

    def adapt(self, request: Request, model: Model, grammar: str) -> Request:
        """The same request as this server understands it; `grammar` is its schema's."""
        body: dict[str, Any] = {**request.body, "model": model.name}
        if "response_format" in body and self.bare_grammar:
            del body["response_format"]
            body |= {"grammar": grammar, "cache_prompt": True}
        elif "response_format" in body and self.kind == "llama_cpp.server":
            schema = body["response_format"]["json_schema"]["schema"]
            body["response_format"] = {"type": "json_object", "schema": schema}
        return Request(request.path, body)


@dataclass(frozen=True)
class Server:
    """A server that is ready: where it listens and the process whose tree it is."""

    address: Address
    process: int


def cloister(name: str = "cloister", arguments: str = "") -> Side:
    """Cloister's engine, with further command line arguments."""
    program = (sys.executable, "-m", "appliance.engine")
    return Side(name, "cloister", program, tuple(shlex.split(arguments)))


@contextmanager
def running(side: Side, model: Model, size: Size) -> Iterator[Server]:
    """Start a server, wait until it can answer, and stop it afterwards.

    Raises:
        BenchmarkError: it ended, did not get ready, or failed a request; with the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="serving-") as name:
        folder = Path(name)
        address, command = _command(side, model, size, folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env=os.environ | side.environment,
            )
        try:
            _wait(side, model, address, process)
            yield Server(address, process.pid)
        except (BenchmarkError, OSError, http.client.HTTPException) as error:
            raise BenchmarkError(f"{side.name}: {error}\n{_tail(folder / 'log')}") from error
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


def llama_bench(program: Path, model: Model, threads: int, tokens: int) -> float:
    """Tokens per second that llama.cpp's own benchmark decodes from an empty context.

    Raises:
        BenchmarkError: it failed.
    """
    command = [str(program), "--model", str(model.file), "--threads", str(threads)]
    command += ["--n-prompt", "0", "--n-gen", str(tokens), "--repetitions", "1"]
    done = subprocess.run([*command, "--output", "json"], capture_output=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{program}: {done.stderr[-_LOG_BYTES:].decode(errors='replace')}")
    return float(json.loads(done.stdout)[0]["avg_ts"])


def _command(side: Side, model: Model, size: Size, folder: Path) -> tuple[Address, list[str]]:
    if side.kind == "cloister":
        socket_path = folder / "engine.sock"
        sizes = [
            f"--socket={socket_path}",
            f"--models={model.models}",
            f"--run-dir={folder}",
            f"--threads={size.threads}",
            f"--context={size.context}",
            f"--sequences={size.sequences}",
        ]
        return Address(socket_path), [*side.program, *sizes, *side.arguments]
    port = _free_port()
    sizes = _LLAMA_SERVER if side.kind == "llama-server" else _LLAMA_CPP_SERVER
    filled = [
        part.format(
            file=model.file,
            name=model.name,
            port=port,
            threads=size.threads,
            context=size.context,
            sequences=size.sequences,
        )
        for part in sizes.split()
    ]
    return Address(port), [*side.program, *filled, *side.arguments]


_LLAMA_SERVER = (
    "--model {file} --alias {name} --host 127.0.0.1 --port {port} --threads {threads}"
    " --ctx-size {context} --parallel {sequences} --kv-unified --offline --no-ui"
)
# By default a new request would end the one before it.
_LLAMA_CPP_SERVER = (
    "--model {file} --model_alias {name} --host 127.0.0.1 --port {port} --n_threads {threads}"
    " --n_threads_batch {threads} --n_ctx {context} --interrupt_requests false --verbose false"
)


def _wait(side: Side, model: Model, address: Address, process: subprocess.Popen[bytes]) -> None:
    ready = _engine_ready if side.kind == "cloister" else _http_ready

    def settled() -> bool:
        return process.poll() is not None or ready(address, model)

    try:
        wait_until(settled, _READY_SECONDS, f"answer of {side.name}")
    except AssertionError as error:
        raise BenchmarkError(str(error)) from error
    if process.poll() is not None:
        raise BenchmarkError("it ended at its start.")


def _tail(log: Path) -> str:
    return log.read_bytes()[-_LOG_BYTES:].decode(errors="replace")


def _engine_ready(address: Address, model: Model) -> bool:
    assert isinstance(address.at, Path)
    try:
        with EngineClient(address.at) as client:
            state = next(each for each in client.models() if each.id == model.name)
    except EngineError:
        return False
    if state.state == "failed":
        raise BenchmarkError(f"the engine does not load {model.name}: {state.error}")
    return state.state == "ready"


def _http_ready(address: Address, _: Model) -> bool:
    with closing(address.connect()) as connection:
        try:
            connection.request("GET", "/v1/models")
            if connection.getresponse().status != http.client.OK:
                return False
            connection.close()
            connection.request("GET", "/health")
            # llama_cpp.server has no such page, and answers only once its model is loaded.
            return connection.getresponse().status in (http.client.OK, http.client.NOT_FOUND)
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
