"""The runner's HTTP front: takes requests, hands them to the scheduler, writes answers down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from appliance.engine.adapters import Adapters
from appliance.engine.ahead import Ahead
from appliance.engine.answers import Answering
from appliance.engine.asgi import (
    HANDLERS,
    error_response,
    hung_up,
    json_response,
    parse_json,
    read_body,
    sse,
)
from appliance.engine.errors import EngineError, IncapableModelError, UnknownRequestError
from appliance.engine.identity import ADAPTER, REQUEST_ID, Chosen
from appliance.engine.intake import Job, Served, admit, beginning
from appliance.engine.meter import Meter
from appliance.engine.outbox import Event
from appliance.engine.protocol import (
    ChatRequest,
    CompletionRequest,
    parse_request,
    parse_samples,
)
from appliance.engine.scheduler import Scheduler


def deliver(events: list[Event]) -> None:
    """Hand the events of one step to their sinks; runs in the event loop."""
    for sink, tokens, logprobs, finish in events:
        if tokens or finish is not None:
            sink.take(tokens, logprobs, finish)
        else:
            sink.started()


class Front:
    """The runner's routes.

    Args:
        served: the model.
        scheduler: runs what is submitted.
        adapters: that change the model for those who ask for one.
    """

    def __init__(self, served: Served, scheduler: Scheduler, adapters: Adapters) -> None:
        """No request lives yet."""
        self._served = served
        self._scheduler = scheduler
        self._adapters = adapters
        self._live: dict[str, Answering] = {}
        self._meter = Meter(scheduler, lambda tally: tally.answer_tokens)

    def app(self) -> Starlette:
        """The ASGI application."""
        embed, classify = partial(self._refuse, "embed"), partial(self._refuse, "classify")
        chat = partial(self._answer, ChatRequest)
        complete = partial(self._answer, CompletionRequest)
        return Starlette(
            routes=[
                Route("/v1/chat/completions", chat, methods=["POST"]),
                Route("/v1/completions", complete, methods=["POST"]),
                Route("/beginnings", self._decode_ahead, methods=["POST"]),
                Route("/v1/embeddings", embed, methods=["POST"]),
                Route("/v1/classify", classify, methods=["POST"]),
                Route("/v1/requests/{id}", self._cancel, methods=["DELETE"]),
                Route("/status", self._meter.status),
            ],
            exception_handlers=HANDLERS,
            lifespan=self._meter.lifespan,
        )

    async def _refuse(self, wanted: str, _request: Request) -> Response:
        raise IncapableModelError(self._served.name, wanted, self._served.capabilities)

    async def _decode_ahead(self, request: Request) -> Response:
        """Decode what two sample requests begin with, so that it lies ready for the first user."""
        samples = parse_samples(parse_json(await read_body(request)))
        served = await self._chosen(request)
        tokens = await asyncio.to_thread(beginning, served, samples)
        if tokens:
            ahead = Ahead(tokens, served.adapter)
            self._scheduler.submit([ahead.group])
            await ahead.decoded()
            self._meter.warmed += 1
        return json_response({"tokens": len(tokens)})

    async def _cancel(self, request: Request) -> Response:
        answering = self._live.get(request.path_params["id"])
        if answering is None:
            raise UnknownRequestError
        self._scheduler.cancel(answering.sequences)
        return Response(status_code=204)

    async def _answer(
        self, kind: type[ChatRequest] | type[CompletionRequest], request: Request
    ) -> Response:
        value = parse_json(await read_body(request))
        parsed = parse_request(kind, value)
        served = await self._chosen(request)
        if parsed.response_format is None:
            job = admit(served, parsed)
        else:
            job = await asyncio.to_thread(admit, served, parsed)
        name = request.headers.get(REQUEST_ID) or job.answering.id
        return _Reply(self, job, name, bool(parsed.stream), parsed.wants_usage)

    async def _chosen(self, request: Request) -> Served:
        """The model as the request wants it: as it is, or with an adapter."""
        header = request.headers.get(ADAPTER)
        if header is None:
            return self._served
        return self._served.with_adapter(await self._adapters.get(Chosen.from_header(header)))

    def begin(self, job: Job, name: str) -> None:
        """Submit a request and make it known under its id."""
        self._scheduler.submit(job.groups)
        self._live[name] = job.answering

    def end(self, job: Job, name: str) -> None:
        """Forget a request; frees its sequences if they still run."""
        self._live.pop(name, None)
        if not job.answering.done:
            self._scheduler.cancel(job.answering.sequences)

    def drop(self, answering: Answering) -> None:
        """Free the sequences whose text has reached a stop string."""
        over = [choice for choice in answering.choices if choice.hit_stop]
        self._scheduler.cancel(each.sequence for each in over if each.sequence is not None)
        for choice in over:
            choice.hit_stop = False


class _Reply(Response):
    """One answer, streamed or whole; ends the request when the client hangs up."""

    def __init__(self, front: Front, job: Job, name: str, stream: bool, usage: bool) -> None:
        """Nothing is submitted before the reply is called."""
        super().__init__()
        self._front = front
        self._job = job
        self._answering = job.answering
        self._name = name
        self._stream = stream
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request and send its answer."""
        try:
            self._front.begin(self._job, self._name)
        except EngineError as error:
            await error_response(error)(scope, receive, send)
            return
        try:
            writing = self._write_stream(send) if self._stream else self._write_whole(send)
            await _unless_hung_up(writing, receive)
        finally:
            self._front.end(self._job, self._name)

    async def _write_whole(self, send: Send) -> None:
        async for _ in self._changes():
            pass
        try:
            for choice in self._answering.choices:
                self._answering.check(choice)
        except EngineError as error:
            body, status = json.dumps(error.body()).encode(), error.status
        else:
            body, status = self._answering.whole(), 200
        await self._send_head(send, status, b"application/json", len(body))
        await send({"type": "http.response.body", "body": body})

    async def _write_stream(self, send: Send) -> None:
        answering = self._answering
        ended: set[int] = set()
        opened = False
        async for _ in self._changes():
            parts = []
            if not opened and answering.has_started:
                opened = True
                await self._send_head(send, 200, b"text/event-stream")
                parts.append(answering.opening())
            try:
                for choice in answering.choices:
                    parts.append(answering.progress(choice))
                    if choice.finish is not None and choice.index not in ended:
                        answering.check(choice)
                        parts.append(answering.ending(choice))
                        ended.add(choice.index)
            except EngineError as error:
                parts.append(sse(error.body()))
                await send({"type": "http.response.body", "body": b"".join(parts)})
                return
            if body := b"".join(parts):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": answering.closing(self._usage)})

    async def _changes(self) -> AsyncIterator[None]:
        """Once for every time that something is new, until all choices have ended."""
        answering = self._answering
        while True:
            await answering.changed.wait()
            answering.changed.clear()
            self._front.drop(answering)
            yield
            if answering.done:
                return

    async def _send_head(
        self, send: Send, status: int, media: bytes, length: int | None = None
    ) -> None:
        given = {**self._job.identity.headers(), REQUEST_ID: self._name}
        headers = [(key.lower().encode(), value.encode()) for key, value in given.items()]
        headers += [(b"content-type", media), (b"cache-control", b"no-store")]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})


async def _unless_hung_up(writing: Awaitable[None], receive: Receive) -> None:
    """Write the answer, but no longer than the client listens."""
    write = asyncio.ensure_future(writing)
    watch = asyncio.create_task(hung_up(receive))
    try:
        await asyncio.wait({write, watch}, return_when=asyncio.FIRST_COMPLETED)
        if write.done():
            write.result()
    finally:
        write.cancel()
        watch.cancel()
