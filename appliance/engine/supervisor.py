"""The supervisor: the one socket that callers know, in front of one runner a model.

Imports neither NumPy nor llama.cpp: hostile model files are only ever opened by runners.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from appliance.engine.admin import admin_routes
from appliance.engine.aliases import Aliases
from appliance.engine.asgi import HANDLERS, json_response, parse_json, read_body
from appliance.engine.budget import MemoryBudget
from appliance.engine.errors import (
    BadRequestError,
    ModelFailedError,
    NotActivatedError,
    UnknownModelError,
    UnknownRequestError,
)
from appliance.engine.fleet import Answerer, Fleet
from appliance.engine.flights import Flights
from appliance.engine.identity import REQUEST_ID
from appliance.engine.keeper import Keeper
from appliance.engine.listing import entries, memory, readings
from appliance.engine.metrics import exposition
from appliance.engine.options import LIMITS, EngineOptions, ResidencyOptions
from appliance.engine.pauses import Pauses
from appliance.engine.relay import Call, RelayReply, RunnerGoneError, call_whole
from appliance.engine.residents import Residents
from appliance.engine.signals import Signal
from appliance.engine.switch import Switch
from appliance.engine.waiting import Waiting
from appliance.engine.warming import Warming

_RETRY_SECONDS = 60
_MIB = 1024 * 1024
_REQUEST_ID = re.compile(rf"[A-Za-z0-9._:-]{{1,{LIMITS.request_id_chars}}}")


class Supervisor:
    """All models of a folder and the routes to them.

    Args:
        models: folder of manifests and weights.
        run_dir: folder for the runners' sockets.
        state_dir: folder for what outlasts this process: the aliases.
        options: sizes of each runner.
        residency: which models may be in memory together.

    Raises:
        AliasFileError: the aliases can not be read.
    """

    def __init__(
        self,
        models: Path,
        run_dir: Path,
        state_dir: Path,
        options: EngineOptions,
        residency: ResidencyOptions,
    ) -> None:
        """Read the aliases; start nothing yet."""
        self._folder = models
        self._options = options
        self._pinned = residency.pinned
        self._aliases = Aliases(state_dir / "aliases.json")
        self._warming = Warming(self._answerer, options.prefixes)
        signal = Signal()
        self._flights = Flights(signal)
        self._budget = MemoryBudget(limit=residency.memory_mib * _MIB)
        residents = Residents(self._budget, self._flights, signal, self._is_pinned)
        self._fleet = Fleet(
            models,
            run_dir,
            options,
            residents,
            self._flights,
            self._aliases.__contains__,
            self._aliases.hold_back,
            self._rank,
            self._warming.look,
        )
        self._pauses = Pauses(signal)
        self._switch = Switch(self._fleet, self._aliases, self._pauses, self._warming.look)
        most = options.sequences + options.queue
        self._waiting = Waiting(self._flights, signal, residency.wait_seconds, most)

    def app(self) -> Starlette:
        """The ASGI application; its lifespan starts and stops the runners."""
        return Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._answer, methods=["POST"]),
                Route("/v1/completions", self._answer, methods=["POST"]),
                Route("/v1/beginnings", self._beginnings, methods=["PUT"]),
                Route("/v1/embeddings", self._answer, methods=["POST"]),
                Route("/v1/classify", self._answer, methods=["POST"]),
                Route("/v1/requests/{id}", self._cancel, methods=["DELETE"]),
                *admin_routes(self._aliases, self._switch),
            ],
            exception_handlers=HANDLERS,
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._fleet.look()
        warming = asyncio.create_task(self._warming.run())
        try:
            yield
        finally:
            warming.cancel()
            await self._fleet.stop()

    async def _health(self, _request: Request) -> Response:
        return json_response({"status": "ok"})

    async def _metrics(self, _request: Request) -> Response:
        found = await readings(self._fleet.keepers())
        return PlainTextResponse(exposition(found), media_type="text/plain; version=0.0.4")

    async def _models(self, _request: Request) -> Response:
        self._fleet.look()
        keepers = self._fleet.keepers()
        found = await readings(keepers)
        adapters = self._fleet.adapters()
        data = entries(keepers, adapters, found, self._aliases, self._options, self._folder)
        own = {"memory": memory(self._budget)}
        return json_response({"object": "list", "data": data, "cloister": own})

    async def _beginnings(self, request: Request) -> Response:
        wanted = self._warming.want(parse_json(await read_body(request)))
        return json_response({"wanted": wanted})

    async def _answer(self, request: Request) -> Response:
        body = await read_body(request)
        asked = parse_json(body).get("model")
        if not isinstance(asked, str):
            raise BadRequestError("model", "model: the field is required and must be a text.")
        request_id = self._request_id(request)
        find = partial(self._present, asked)
        keeper = await self._waiting.ready(asked, find, request, request_id)
        # From here to the first byte that is relayed nothing is awaited: what the alias points at
        # now is what answers, and the runner knows of a flight before it could be stopped.
        runner = keeper.ready()
        adapter = self._answerer(asked).header
        call = Call(runner.socket, "POST", request.url.path, body, request_id, adapter)
        return _Tracked(RelayReply(call, keeper.name), self._flights, call)

    def _is_pinned(self, model: str) -> bool:
        pinned = {self._aliases.resolve(name) for name in self._pinned}
        return any(self._fleet.base_of(name) == model for name in pinned)

    def _rank(self, model: str) -> int:
        """Who gets room first at the start: what is pinned, then what applications ask for."""
        if self._is_pinned(model):
            return 0
        return 1 if self._aliases.of(model) else 2

    def _present(self, asked: str) -> Keeper | None:
        return None if asked in self._pauses else self._answerer(asked).keeper

    def _answerer(self, asked: str) -> Answerer:
        """Who answers what a name stands for now: an alias's model, and an adapter's base."""
        model = self._aliases.resolve(asked)
        try:
            found = self._fleet.find(model)
        except UnknownModelError:
            if model == asked:
                raise
            raise ModelFailedError(
                asked,
                f"the alias points at model {model!r}, which is no longer here;"
                f" see: cloister model rollback {asked}",
                _RETRY_SECONDS,
            ) from None
        for manifest in (found.adapter, found.keeper.manifest):
            if manifest is not None and self._aliases.hold_back(manifest):
                raise NotActivatedError(manifest.name)
        return found

    def _request_id(self, request: Request) -> str:
        given = request.headers.get(REQUEST_ID)
        if given is None:
            return secrets.token_hex(16)
        if not _REQUEST_ID.fullmatch(given):
            raise BadRequestError(
                REQUEST_ID,
                f"{REQUEST_ID}: 1 to {LIMITS.request_id_chars} letters, digits or . _ : - only.",
            )
        if given in self._flights:
            raise BadRequestError(REQUEST_ID, f"{REQUEST_ID}: a live request has this id already.")
        return given

    async def _cancel(self, request: Request) -> Response:
        request_id = request.path_params["id"]
        if self._flights.cancel_waiting(request_id):
            return Response(status_code=204)
        socket = self._flights.runner_of(request_id)
        if socket is None:
            raise UnknownRequestError
        try:
            status, _ = await call_whole(Call(socket, "DELETE", f"/v1/requests/{request_id}"))
        except RunnerGoneError as error:
            raise UnknownRequestError from error
        if status != 204:
            raise UnknownRequestError
        return Response(status_code=204)


class _Tracked(Response):
    """A reply that is known by its request's id while it lasts."""

    def __init__(self, reply: RelayReply, flights: Flights, call: Call) -> None:
        """Becomes known when it is called."""
        super().__init__()
        self._reply = reply
        self._flights = flights
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay, known under the request's id meanwhile."""
        with self._flights.flight(self._call.request_id or "", self._call.socket):
            await self._reply(scope, receive, send)
