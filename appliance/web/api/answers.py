"""From the pipeline's events to HTTP: whole answers and streams of server-sent events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

from flask import Response, request

from appliance.engine.identity import AnswerIdentity
from appliance.tasks.work import Began, Delta, Event, Failed, Finished, Work
from appliance.web.api.caller import caller
from appliance.web.api.errors import RECORD_ID, ApiError, json_response
from appliance.web.hangups import Watch
from appliance.web.services import services
from appliance.web.worker import state

Shape = Callable[[Work, AnswerIdentity, Finished], dict[str, Any]]
_DONE = b"data: [DONE]\n\n"


def openai_shape(_work: Work, identity: AnswerIdentity, finished: Finished) -> dict[str, Any]:
    """The answer as OpenAI's API gives it."""
    return {**finished.body, "system_fingerprint": fingerprint(identity)}


def plain_shape(_work: Work, _identity: AnswerIdentity, finished: Finished) -> dict[str, Any]:
    """The answer as the engine gives it."""
    return dict(finished.body)


def fingerprint(identity: AnswerIdentity) -> str:
    """OpenAI's `system_fingerprint`: equal where weights, template and engine are the same."""
    adapter = () if identity.adapter_digest is None else (identity.adapter_digest,)
    parts = (identity.model_digest, *adapter, identity.template_digest, identity.build)
    return f"fp_{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"


def whole(work: Work, shape: Shape = openai_shape) -> Response:
    """Run the work to its end and answer with one JSON object.

    Raises:
        ApiError: What the pipeline failed with.
    """
    gate, key = state().gate, caller().prefix
    gate.enter(key)
    try:
        with closing(services().pipeline.run(work)) as events, closing(_watched(work)):
            began, finished = _collect(events, work)
    finally:
        gate.leave(key)
    response = json_response(shape(work, began.identity, finished))
    _name(response, work, began.identity)
    return response


def streamed(work: Work, *, include_usage: bool) -> Response:
    """Start the work and answer with a stream of OpenAI's chunks.

    Raises:
        ApiError: What the pipeline failed with before the first chunk; a later failure is an
            event of the stream, which then ends without `[DONE]`.
    """
    stream = _Stream(work, include_usage=include_usage)
    try:
        identity = stream.begin()
    except BaseException:
        stream.close()
        raise
    response = Response(stream, mimetype="text/event-stream")
    response.call_on_close(stream.close)
    # nginx would collect the events until its buffer is full.
    response.headers["X-Accel-Buffering"] = "no"
    _name(response, work, identity)
    return response


class _Stream(Iterator[bytes]):
    """One streamed answer; holds its place in the gate until it is closed, however it ends.

    Not a generator: closing a generator that was never started would run none of its code, and
    a client may hang up before the first byte.
    """

    def __init__(self, work: Work, *, include_usage: bool) -> None:
        self._work = work
        self._include_usage = include_usage
        self._gate, self._key = state().gate, caller().prefix
        self._gate.enter(self._key)
        self._open = True
        self._fingerprint = ""
        self._watch = _watched(work)
        self._events = services().pipeline.run(work)
        self._bytes = self._encoded()

    def begin(self) -> AnswerIdentity:
        """Wait until the engine has taken the request."""
        first = next(self._events)
        if isinstance(first, Failed):
            raise ApiError.of(first, self._work.record_id)
        if not isinstance(first, Began):
            raise TypeError("the pipeline did not begin with Began or Failed")
        self._fingerprint = fingerprint(first.identity)
        return first.identity

    def __next__(self) -> bytes:
        return next(self._bytes)

    def close(self) -> None:
        """End the answer and free its place; harmless when done already."""
        if not self._open:
            return
        self._open = False
        try:
            self._events.close()
        finally:
            self._watch.close()
            self._gate.leave(self._key)

    def _encoded(self) -> Iterator[bytes]:
        for event in self._events:
            if isinstance(event, Delta):
                yield from self._chunk(event)
            elif isinstance(event, Finished):
                yield _DONE
            elif isinstance(event, Failed):
                yield _event(ApiError.of(event, self._work.record_id).body())

    def _chunk(self, delta: Delta) -> Iterator[bytes]:
        body = {"usage": None, **delta.body, "system_fingerprint": self._fingerprint}
        if not self._include_usage:
            # The pipeline always asks for the usage; the client gets it only if it asked too.
            if not body.get("choices"):
                return
            del body["usage"]
        yield _event(body)


def _watched(work: Work) -> Watch:
    return state().hang_ups.watch(request.environ.get("gunicorn.socket"), work.record_id)


def _name(response: Response, work: Work, identity: AnswerIdentity) -> None:
    response.headers[RECORD_ID] = work.record_id
    response.headers.extend(identity.headers())


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def _collect(events: Generator[Event], work: Work) -> tuple[Began, Finished]:
    began: Began | None = None
    for event in events:
        if isinstance(event, Began):
            began = event
        elif isinstance(event, Failed):
            raise ApiError.of(event, work.record_id)
        elif isinstance(event, Finished) and began is not None:
            return began, event
    raise RuntimeError("the pipeline ended without a result")
