"""The supervisor: the one socket that callers know, in front of one runner a model.

Imports neither NumPy nor llama.cpp: hostile model files are only ever opened by runners.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from appliance.catalogue.folder import read_catalogue
from appliance.engine.asgi import HANDLERS, json_response, parse_json, read_body
from appliance.engine.budget import MemoryBudget
from appliance.engine.errors import BadRequestError, UnknownModelError, UnknownRequestError
from appliance.engine.identity import REQUEST_ID
from appliance.engine.keeper import Keeper, State
from appliance.engine.metrics import exposition
from appliance.engine.options import LIMITS, EngineOptions
from appliance.engine.relay import Call, RelayReply, RunnerGoneError, call_whole

_STATUS_SECONDS = 2.0
_REQUEST_ID = re.compile(rf"[A-Za-z0-9._:-]{{1,{LIMITS.request_id_chars}}}")


class Supervisor:
    """All models of a folder and the routes to them.

    Args:
        models: folder of manifests and weights.
        run_dir: folder for the runners' sockets.
        options: sizes of each runner.
    """

    def __init__(self, models: Path, run_dir: Path, options: EngineOptions) -> None:
        """Read the manifests; start nothing yet."""
        self._options = options
        self._live: dict[str, Path] = {}
        budget = MemoryBudget()
        catalogue = read_catalogue(models)
        found = {**dict.fromkeys(catalogue.faults), **catalogue.manifests}
        self._keepers = {
            name: Keeper(
                models / f"{name}.toml",
                manifest,
                run_dir,
                options,
                budget,
                catalogue.faults.get(name),
            )
            for name, manifest in sorted(found.items())
        }

    def app(self) -> Starlette:
        """The ASGI application; its lifespan starts and stops the runners."""
        return Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._answer, methods=["POST"]),
                Route("/v1/completions", self._answer, methods=["POST"]),
                Route("/v1/requests/{id}", self._cancel, methods=["DELETE"]),
            ],
            exception_handlers=HANDLERS,
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        for keeper in self._keepers.values():
            keeper.start()
        try:
            yield
        finally:
            await asyncio.gather(*(keeper.stop() for keeper in self._keepers.values()))

    async def _health(self, _request: Request) -> Response:
        return json_response({"status": "ok"})

    async def _metrics(self, _request: Request) -> Response:
        readings = await self._readings()
        return PlainTextResponse(exposition(readings), media_type="text/plain; version=0.0.4")

    async def _models(self, _request: Request) -> Response:
        readings = await self._readings()
        data = [self._entry(keeper, readings[name]) for name, keeper in self._keepers.items()]
        return json_response({"object": "list", "data": data})

    async def _answer(self, request: Request) -> Response:
        body = await read_body(request)
        name = parse_json(body).get("model")
        if not isinstance(name, str):
            raise BadRequestError("model", "model: the field is required and must be a text.")
        keeper = self._keepers.get(name)
        if keeper is None:
            raise UnknownModelError(name)
        runner = keeper.ready()
        request_id = self._request_id(request)
        call = Call(runner.socket, "POST", request.url.path, body, request_id)
        return _Tracked(RelayReply(call, name), self._live, request_id, runner.socket)

    def _request_id(self, request: Request) -> str:
        given = request.headers.get(REQUEST_ID)
        if given is None:
            return secrets.token_hex(16)
        if not _REQUEST_ID.fullmatch(given):
            raise BadRequestError(
                REQUEST_ID,
                f"{REQUEST_ID}: 1 to {LIMITS.request_id_chars} letters, digits or . _ : - only.",
            )
        if given in self._live:
            raise BadRequestError(REQUEST_ID, f"{REQUEST_ID}: a live request has this id already.")
        return given

    async def _cancel(self, request: Request) -> Response:
        request_id = request.path_params["id"]
        socket = self._live.get(request_id)
        if socket is None:
            raise UnknownRequestError
        try:
            status, _ = await call_whole(Call(socket, "DELETE", f"/v1/requests/{request_id}"))
        except RunnerGoneError as error:
            raise UnknownRequestError from error
        if status != 204:
            raise UnknownRequestError
        return Response(status_code=204)

    async def _readings(self) -> dict[str, dict[str, Any]]:
        """What every model's runner says of itself, by name."""
        keepers = list(self._keepers.values())
        found = await asyncio.gather(*map(_reading, keepers))
        return {keeper.name: reading for keeper, reading in zip(keepers, found, strict=True)}

    def _entry(self, keeper: Keeper, reading: dict[str, Any]) -> dict[str, Any]:
        manifest, runner = keeper.manifest, keeper.runner
        context = manifest.context if manifest else 0
        own = {
            "state": keeper.state,
            "sha256": manifest.sha256 if manifest else "",
            "context": runner.context if runner else context,
            "sequences": self._options.sequences,
            "in_use": reading.get("in_use", 0),
            "queued": reading.get("queued", 0),
            "memory_bytes": reading["memory_bytes"],
            "error": keeper.error,
            "title": manifest.title if manifest else keeper.name,
            "notice": manifest.notice if manifest else "",
            "capabilities": list(manifest.capabilities) if manifest else [],
            "build": runner.build if runner else None,
        }
        return {
            "id": keeper.name,
            "object": "model",
            "created": keeper.created,
            "owned_by": "cloister",
            "cloister": own,
        }


class _Tracked(Response):
    """A reply that can be cancelled by its request id while it lasts."""

    def __init__(
        self, reply: RelayReply, live: dict[str, Path], request_id: str, socket: Path
    ) -> None:
        """Becomes known when it is called."""
        super().__init__()
        self._reply = reply
        self._live = live
        self._request_id = request_id
        self._socket = socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay, known under the request's id meanwhile."""
        self._live[self._request_id] = self._socket
        try:
            await self._reply(scope, receive, send)
        finally:
            self._live.pop(self._request_id, None)


async def _reading(keeper: Keeper) -> dict[str, Any]:
    keeper.look_again()
    reading: dict[str, Any] = {}
    runner = keeper.runner
    if runner is not None and keeper.state is State.READY:
        call = partial(call_whole, Call(runner.socket, "GET", "/status"))
        try:
            _, raw = await asyncio.wait_for(call(), _STATUS_SECONDS)
            reading = json.loads(raw)
        except (RunnerGoneError, TimeoutError):
            reading = {}
    memory = runner.memory_bytes() if runner is not None else 0
    return {
        **reading,
        "state": keeper.state,
        "restarts": keeper.restarts,
        "memory_bytes": memory,
    }
