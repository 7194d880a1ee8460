"""Client of the engine's socket, for the web process, the tasks and the command line.

Synchronous and thread-safe. An answer that is streamed holds one connection; closing the stream
closes the connection, which frees the sequence in the engine at once.
"""

from __future__ import annotations

import json
import socket as net
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from appliance.engine.errors import (
    BrokenAnswerError,
    EngineError,
    EngineTimeoutError,
    EngineUnavailableError,
)
from appliance.engine.identity import REQUEST_ID, AnswerIdentity
from appliance.engine.overview import ModelStatus, Overview, read_overview

_CHAT = "/v1/chat/completions"
_COMPLETE = "/v1/completions"
_EMBED = "/v1/embeddings"
_CLASSIFY = "/v1/classify"
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class WholeAnswer:
    """An answer that came in one piece, and what it came from."""

    body: Mapping[str, Any]
    identity: AnswerIdentity

    @property
    def usage(self) -> Mapping[str, Any]:
        """`prompt_tokens`, `total_tokens`, and `completion_tokens` where some were made."""
        usage: Mapping[str, Any] = self.body["usage"]
        return usage


@dataclass(frozen=True)
class Answer(WholeAnswer):
    """A whole completion: the OpenAI object and what it came from."""

    @property
    def text(self) -> str:
        """Text of the first choice."""
        return _text(self.body["choices"][0])

    @property
    def finish_reason(self) -> str:
        """`stop`, `length` or `cancelled`, of the first choice."""
        return str(self.body["choices"][0]["finish_reason"])


@dataclass(frozen=True)
class Chunk:
    """One server-sent event of a streamed answer.

    `text` is empty in the events that only carry a role, a finish reason or the usage; `index`
    is the number of the choice.
    """

    text: str
    index: int
    finish_reason: str | None
    usage: Mapping[str, Any] | None
    body: Mapping[str, Any]


class AnswerStream(Iterator[Chunk]):
    """A streamed answer: iterate for its chunks, `close` (or leave `with`) to hang up.

    Iteration raises `EngineError` where the engine sent an error event or the connection broke.
    """

    def __init__(self, response: httpx.Response, identity: AnswerIdentity, timeout: float) -> None:
        """Take over `response`, whose headers have been read; `timeout` is in seconds."""
        self.identity = identity
        self._response = response
        self._chunks = self._read(timeout)

    def __iter__(self) -> Self:
        """Iterate over itself."""
        return self

    def __next__(self) -> Chunk:
        """The next one; raises at the end or on an error."""
        return next(self._chunks)

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Hang up; the engine frees the sequence at once. Harmless when the answer has ended."""
        self._response.close()

    def _read(self, timeout: float) -> Iterator[Chunk]:
        try:
            with _engine_errors(timeout):
                for data in _events(self._response.iter_raw()):
                    if data == b"[DONE]":
                        return
                    yield _chunk(json.loads(data))
        except httpx.StreamClosed:
            return
        finally:
            self._response.close()
        raise BrokenAnswerError


class EngineClient:
    """Calls the engine over its AF_UNIX socket.

    Args:
        socket: path of `engine.sock`.
        timeout: longest wait for the next byte of an answer, in seconds; it covers the queue.
    """

    def __init__(self, socket: Path, timeout: float = 600.0) -> None:
        """Open no connection yet."""
        self._path = socket
        self._timeout = timeout
        self._known_good = False
        self._http = httpx.Client(
            base_url="http://engine",
            transport=httpx.HTTPTransport(
                uds=str(socket),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
            ),
            timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS),
        )

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close all connections; answers that still stream end with an error."""
        self._http.close()

    def healthy(self) -> bool:
        """Whether the supervisor answers."""
        try:
            return self._call("GET", "/healthz").status_code == httpx.codes.OK
        except EngineError:
            return False

    def metrics(self) -> str:
        """The engine's metrics in Prometheus' text format."""
        return self._call("GET", "/metrics").text

    def models(self) -> list[ModelStatus]:
        """All models that have a manifest, with their state."""
        return list(self.overview().models)

    def names(self) -> list[ModelStatus]:
        """All names that a request may ask for: the models, then their aliases."""
        return list(self.overview().names)

    def overview(self) -> Overview:
        """The names, and the memory that the models share, as they are at one moment."""
        return read_overview(self._call("GET", "/v1/models").json())

    def want_beginnings(self, beginnings: Sequence[Mapping[str, Any]]) -> None:
        """Have decoded ahead what requests of each kind begin with, from now on.

        Args:
            beginnings: for each kind `{"model", "samples"}`, the samples two chat requests; they
                take the place of those that were handed over before.
        """
        self._call("PUT", "/v1/beginnings", {"beginnings": list(beginnings)})

    def chat(self, body: Mapping[str, Any], request_id: str | None = None) -> Answer:
        """Run a chat completion to its end; `body` is OpenAI's, without `stream`."""
        return self._answer(_CHAT, body, request_id)

    def complete(self, body: Mapping[str, Any], request_id: str | None = None) -> Answer:
        """Run a plain completion to its end; `body` is OpenAI's, without `stream`."""
        return self._answer(_COMPLETE, body, request_id)

    def embed(self, body: Mapping[str, Any], request_id: str | None = None) -> WholeAnswer:
        """Vectors of texts; `body` and answer as in OpenAI's API."""
        return self._whole(_EMBED, body, request_id)

    def classify(self, body: Mapping[str, Any], request_id: str | None = None) -> WholeAnswer:
        """Classes of texts; `body` and answer as docs/engine.md says."""
        return self._whole(_CLASSIFY, body, request_id)

    def stream_chat(self, body: Mapping[str, Any], request_id: str | None = None) -> AnswerStream:
        """Start a chat completion; returns when it has left the queue, before its first token."""
        return self._stream(_CHAT, body, request_id)

    def stream_complete(
        self, body: Mapping[str, Any], request_id: str | None = None
    ) -> AnswerStream:
        """Start a plain completion; returns when it has left the queue, before its first token."""
        return self._stream(_COMPLETE, body, request_id)

    def cancel(self, request_id: str) -> bool:
        """Cancel a live request by its id; False if no live request has it."""
        try:
            self._call("DELETE", f"/v1/requests/{quote(request_id, safe='')}")
        except EngineError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return False
            raise
        return True

    def _answer(self, path: str, body: Mapping[str, Any], request_id: str | None) -> Answer:
        found = self._whole(path, {**body, "stream": False}, request_id)
        return Answer(found.body, found.identity)

    def _whole(self, path: str, body: Mapping[str, Any], request_id: str | None) -> WholeAnswer:
        response = self._call("POST", path, body, request_id)
        identity = AnswerIdentity.from_headers(str(body.get("model")), response.headers)
        return WholeAnswer(response.json(), identity)

    def _stream(self, path: str, body: Mapping[str, Any], request_id: str | None) -> AnswerStream:
        request = self._request("POST", path, {**body, "stream": True}, request_id)
        response = self._send(request, stream=True)
        _raise_for(response)
        identity = AnswerIdentity.from_headers(str(body.get("model")), response.headers)
        return AnswerStream(response, identity, self._timeout)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> httpx.Response:
        response = self._send(self._request(method, path, body, request_id), stream=False)
        _raise_for(response)
        return response

    def _send(self, request: httpx.Request, stream: bool) -> httpx.Response:
        self._knock()
        try:
            with _engine_errors(self._timeout):
                response = self._http.send(request, stream=stream)
                if response.is_error:
                    response.read()
        except EngineUnavailableError:
            self._known_good = False
            raise
        return response

    def _knock(self) -> None:
        """See whether anybody answers, where that is not known yet.

        httpcore 1.0 leaves its socket open when it can not connect; this one is closed.
        """
        if self._known_good:
            return
        with net.socket(net.AF_UNIX, net.SOCK_STREAM) as probe:
            probe.settimeout(_CONNECT_SECONDS)
            try:
                probe.connect(str(self._path))
            except OSError as error:
                raise EngineUnavailableError from error
        self._known_good = True

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, request_id: str | None
    ) -> httpx.Request:
        headers = {} if request_id is None else {REQUEST_ID: request_id}
        return self._http.build_request(method, path, json=body, headers=headers)


@contextmanager
def _engine_errors(timeout: float) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise EngineTimeoutError(timeout) from error
    except httpx.ConnectError as error:
        raise EngineUnavailableError from error
    except httpx.TransportError as error:
        raise BrokenAnswerError from error


def _raise_for(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        body = response.json()
    except ValueError:
        body = {}
    retry = response.headers.get("Retry-After")
    raise EngineError.from_body(
        response.status_code, body if isinstance(body, dict) else {}, int(retry) if retry else None
    )


def _events(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Data of the server-sent events in a stream of bytes (one `data:` line each)."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def _chunk(body: Mapping[str, Any]) -> Chunk:
    if "error" in body:
        raise _streamed_error(body)
    choices = body.get("choices") or []
    if not choices:
        return Chunk("", 0, None, body.get("usage"), body)
    choice = choices[0]
    return Chunk(
        _text(choice), int(choice["index"]), choice.get("finish_reason"), body.get("usage"), body
    )


def _streamed_error(body: Mapping[str, Any]) -> EngineError:
    error = EngineError.from_body(500, body)
    if error.code == "runner_died":
        error.status, error.retry_after = 503, 2
    return error


def _text(choice: Mapping[str, Any]) -> str:
    if "text" in choice:
        return str(choice["text"])
    message = choice.get("message") or choice.get("delta") or {}
    return str(message.get("content") or "")
