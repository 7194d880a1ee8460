"""Routes under `/admin`: for the user that runs the engine, and for nobody who asks for answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from appliance.engine.aliases import Aliases, Target
from appliance.engine.asgi import json_response, parse_json, read_body
from appliance.engine.errors import BadRequestError
from appliance.engine.peer import require_operator
from appliance.engine.switch import Switch

_TEXT = 200  # characters of a field
_Handler = Callable[[Request], Awaitable[Response]]


def admin_routes(aliases: Aliases, switch: Switch) -> list[Route]:
    """The routes; each refuses callers of another user."""
    admin = _Admin(aliases, switch)
    alias = "/admin/aliases/{alias}"
    return [
        Route("/admin/aliases", _guarded(admin.aliases)),
        Route(alias, _guarded(admin.activate), methods=["PUT"]),
        Route(alias, _guarded(admin.remove), methods=["DELETE"]),
        Route(f"{alias}/rollback", _guarded(admin.rollback), methods=["POST"]),
        Route(f"{alias}/prepare", _guarded(admin.prepare), methods=["POST"]),
    ]


def _guarded(handler: _Handler) -> _Handler:
    async def guarded(request: Request) -> Response:
        require_operator(request)
        return await handler(request)

    return guarded


class _Admin:
    def __init__(self, aliases: Aliases, switch: Switch) -> None:
        self._aliases = aliases
        self._switch = switch

    async def aliases(self, _request: Request) -> Response:
        """Every alias with its targets."""
        data = [_entry(name, targets) for name, targets in self._aliases.all().items()]
        return json_response({"object": "list", "data": data})

    async def prepare(self, request: Request) -> Response:
        """Load the model of a move and have it answer, before anything moves."""
        body = await _fields(request, "model", "stop_first")
        move = await self._switch.prepare(
            request.path_params["alias"],
            body.get("model"),
            stop_first=_flag(body.get("stop_first")),
        )
        return json_response(move.body())

    async def activate(self, request: Request) -> Response:
        """Move an alias to a model that has answered."""
        body = await _fields(request, "model", "by", "sha256")
        model, by = body.get("model"), body.get("by")
        if model is None or by is None:
            raise BadRequestError(None, "model, by: both fields are required.", "missing_field")
        alias = request.path_params["alias"]
        move = await self._switch.activate(alias, model, by, body.get("sha256"))
        return json_response(move.body())

    async def rollback(self, request: Request) -> Response:
        """Move an alias back to what it pointed at before."""
        body = await _fields(request, "model")
        move = await self._switch.rollback(request.path_params["alias"], body.get("model"))
        return json_response(move.body())

    async def remove(self, request: Request) -> Response:
        """Forget an alias."""
        move = await self._switch.remove(request.path_params["alias"])
        return json_response(move.body())


def _entry(name: str, targets: tuple[Target, ...]) -> Mapping[str, Any]:
    *earlier, present = (target.model_dump(mode="json") for target in targets)
    return {"alias": name, **present, "earlier": earlier[::-1]}


def _flag(text: str | None) -> bool:
    if text not in {None, "yes", "no"}:
        raise BadRequestError("stop_first", "stop_first: must be yes or no.")
    return text == "yes"


async def _fields(request: Request, *known: str) -> dict[str, str]:
    """The fields of a body that holds short texts alone."""
    body = parse_json(await read_body(request) or b"{}")
    for name, value in body.items():
        if name not in known:
            raise BadRequestError(name[:_TEXT], f"{name[:_TEXT]}: there is no such field here.")
        if not isinstance(value, str) or not 0 < len(value) <= _TEXT:
            raise BadRequestError(name, f"{name}: must be a text of 1 to {_TEXT} characters.")
    return body
