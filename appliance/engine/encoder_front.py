"""The HTTP front of an encoder's runner: vectors and classes, whole answers only."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from appliance.engine.asgi import HANDLERS, error_response, hung_up, parse_json, read_body
from appliance.engine.encoding import Encoder, Reading
from appliance.engine.errors import (
    BadRequestError,
    DecodeError,
    IncapableModelError,
    RequestCancelledError,
    UnknownRequestError,
)
from appliance.engine.identity import ADAPTER, REQUEST_ID
from appliance.engine.meter import Meter
from appliance.engine.protocol import parse_request
from appliance.engine.reading import (
    ClassifyRequest,
    EmbeddingsRequest,
    ServedEncoder,
    admit_texts,
    written,
)

_Ends = dict[Reading, asyncio.Event]


class EncoderFront:
    """The routes of an encoder's runner.

    Args:
        served: the model.
        make: makes the encoder, given what takes the requests that are done.
    """

    def __init__(
        self, served: ServedEncoder, make: Callable[[Callable[[list[Reading]], None]], Encoder]
    ) -> None:
        """No request lives yet; must be made where the event loop runs."""
        self._served = served
        self._loop = asyncio.get_running_loop()
        self.encoder = make(self._hand_over)
        self._ends: _Ends = {}
        self._live: dict[str, Reading] = {}
        self._meter = Meter(self.encoder, lambda tally: tally.prompt_tokens)

    def app(self) -> Starlette:
        """The ASGI application."""
        embed = partial(self._answer, EmbeddingsRequest)
        classify = partial(self._answer, ClassifyRequest)
        chat, complete = partial(self._refuse, "chat"), partial(self._refuse, "complete")
        return Starlette(
            routes=[
                Route("/v1/embeddings", embed, methods=["POST"]),
                Route("/v1/classify", classify, methods=["POST"]),
                Route("/v1/chat/completions", chat, methods=["POST"]),
                Route("/v1/completions", complete, methods=["POST"]),
                Route("/v1/requests/{id}", self._cancel, methods=["DELETE"]),
                Route("/status", self._meter.status),
            ],
            exception_handlers=HANDLERS,
            lifespan=self._meter.lifespan,
        )

    def _hand_over(self, done: list[Reading]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end, done)

    def _end(self, done: list[Reading]) -> None:
        for reading in done:
            if reading in self._ends:
                self._ends[reading].set()

    async def _refuse(self, wanted: str, _request: Request) -> Response:
        raise IncapableModelError(self._served.name, wanted, self._served.capabilities)

    async def _cancel(self, request: Request) -> Response:
        reading = self._live.pop(request.path_params["id"], None)
        if reading is None:
            raise UnknownRequestError
        self.encoder.cancel(reading)
        self._ends[reading].set()
        return Response(status_code=204)

    async def _answer(
        self, kind: type[EmbeddingsRequest] | type[ClassifyRequest], request: Request
    ) -> Response:
        parsed = parse_request(kind, parse_json(await read_body(request)))
        if ADAPTER in request.headers:
            raise BadRequestError(
                "model", f"model: {self._served.name!r} is no model that adapters work on."
            )
        reading = await asyncio.to_thread(admit_texts, self._served, parsed)
        name = request.headers.get(REQUEST_ID) or secrets.token_hex(12)
        headers = {**self._served.identity(parsed.model).headers(), REQUEST_ID: name}
        self._ends[reading] = asyncio.Event()
        self._live[name] = reading
        try:
            self.encoder.submit(reading)
            await self._read(reading, request)
            body = await asyncio.to_thread(written, self._served, parsed, reading)
        except DecodeError as error:
            return error_response(error, headers)
        finally:
            self.encoder.cancel(reading)
            self._live.pop(name, None)
            del self._ends[reading]
        headers["Cache-Control"] = "no-store"
        return Response(body, media_type="application/json", headers=headers)

    async def _read(self, reading: Reading, request: Request) -> None:
        """Wait until all texts are read, but no longer than the client listens."""
        end = asyncio.create_task(self._ends[reading].wait())
        watch = asyncio.create_task(hung_up(request.receive))
        try:
            await asyncio.wait({end, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
            watch.cancel()
        if not reading.done:
            raise RequestCancelledError if self._ends[reading].is_set() else ClientDisconnect
