"""The client of all servers: streams of server-sent events, timed event by event.

Threads with plain sockets, since the client shares the cores with what it measures.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from tests.benchmarks.weights import BenchmarkError

_SECONDS = 900  # for one answer


@dataclass(frozen=True)
class Request:
    """A request as OpenAI's API has it, without `model` and `stream`."""

    path: str
    body: Mapping[str, Any]


@dataclass
class Answer:
    """A streamed answer and when its pieces came, in seconds of `time.perf_counter`.

    Args:
        arrivals: of the events that carried text.
    """

    began: float
    arrivals: list[float] = field(default_factory=list)
    text: str = ""
    prompt_tokens: int = 0
    tokens: int = 0

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """From each event to the next."""
        return list(zip(self.arrivals, self.arrivals[1:], strict=False))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Address:
    """Where a server listens: a path of an AF_UNIX socket, or a port on loopback."""

    at: Path | int

    def connect(self) -> http.client.HTTPConnection:
        """A connection that opens itself with the first request."""
        if isinstance(self.at, Path):
            return _UnixConnection(self.at)
        return http.client.HTTPConnection("127.0.0.1", self.at, timeout=_SECONDS)


def ask(
    address: Address, request: Request, watch: Callable[[int], None] = lambda _: None
) -> Answer:
    """Send a request on a connection of its own and read its stream to the end.

    llama-server hangs up after a stream without saying so, so no connection is used twice.

    Args:
        request: its body is sent as it is, streamed.
        watch: called with the number of text events so far.

    Raises:
        BenchmarkError: the server refused, or its stream ended early.
    """
    with closing(address.connect()) as connection:
        return _ask(connection, request, watch)


def _ask(
    connection: http.client.HTTPConnection, request: Request, watch: Callable[[int], None]
) -> Answer:
    body = {**request.body, "stream": True, "stream_options": {"include_usage": True}}
    answer = Answer(time.perf_counter())
    connection.request(
        "POST", request.path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    response = connection.getresponse()
    if response.status != http.client.OK:
        raise BenchmarkError(f"{request.path}: {response.status} {response.read(2000)!r}")
    pieces: list[str] = []
    finished = False
    while line := response.readline():
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        finished = finished or data == b"[DONE]"
        if not finished:
            _take(answer, pieces, json.loads(data), watch)
    if not finished:
        raise BenchmarkError(f"{request.path}: the stream ended without [DONE].")
    answer.text = "".join(pieces)
    # A server that gives no usage sends an event a token.
    answer.tokens = answer.tokens or len(answer.arrivals)
    return answer


def _take(
    answer: Answer, pieces: list[str], event: Mapping[str, Any], watch: Callable[[int], None]
) -> None:
    if "error" in event:
        raise BenchmarkError(f"the stream ended with {event['error']}")
    if usage := event.get("usage"):
        answer.prompt_tokens = usage["prompt_tokens"]
        answer.tokens = usage["completion_tokens"]
    for choice in event.get("choices") or ():
        text = choice.get("text") or (choice.get("delta") or {}).get("content")
        if text:
            answer.arrivals.append(time.perf_counter())
            pieces.append(text)
            watch(len(answer.arrivals))


def drive(address: Address, requests: Sequence[Request], clients: int) -> list[Answer]:
    """Answers to all requests, in their order, from `clients` that each take the next one."""
    answers: list[Answer | None] = [None] * len(requests)
    waiting = iter(enumerate(requests))
    lock = Lock()

    def client(_: int) -> None:
        while True:
            with lock:
                index, request = next(waiting, (-1, None))
            if request is None:
                return
            answers[index] = ask(address, request)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return [answer for answer in answers if answer is not None]
