"""The blueprint, and the views in OpenAI's shapes."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from appliance.engine.errors import EngineError, UnknownModelError
from appliance.engine.overview import ModelStatus
from appliance.tasks.work import Kind, Source, Work
from appliance.web.api import answers, bodies, description, task_views
from appliance.web.api.caller import (
    caller,
    identify,
    of_log_error,
    record_refusal,
    require_model,
)
from appliance.web.api.errors import ApiError, json_response
from appliance.web.api.subject import subject
from appliance.web.client import address
from appliance.web.services import services
from audit.errors import AuditError

_logger = logging.getLogger(__name__)
_OPEN = {"api.openapi"}
_ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]

blueprint = Blueprint("api", __name__, url_prefix="/v1")


@blueprint.before_request
def _guard() -> None:
    is_form = request.mimetype == "multipart/form-data"
    request.max_content_length = bodies.MAX_BODY if is_form else bodies.MAX_JSON
    request.max_form_memory_size = bodies.MAX_BODY
    if request.endpoint not in _OPEN:
        identify()


@blueprint.get("/models")
def models() -> Response:
    """The models and aliases that the key may use."""
    found = services().engine.names()
    listed = [_shape(model) for model in found if caller().may_use_model(model.id)]
    return json_response({"object": "list", "data": listed})


@blueprint.get("/models/<name>")
def model(name: str) -> Response:
    """One model or alias."""
    require_model(name)
    for found in services().engine.names():
        if found.id == name:
            return json_response(_shape(found))
    raise UnknownModelError(name)


@blueprint.post("/chat/completions")
def chat() -> Response:
    """OpenAI's chat completion."""
    return _answer(Kind.CHAT)


@blueprint.post("/completions")
def complete() -> Response:
    """OpenAI's plain completion."""
    return _answer(Kind.COMPLETION)


@blueprint.post("/embeddings")
def embed() -> Response:
    """OpenAI's embeddings."""
    return _read(Kind.EMBEDDING)


@blueprint.post("/classify")
def classify() -> Response:
    """Classes of texts, with their probabilities."""
    return _read(Kind.CLASSIFICATION)


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """What this API is; needs no key, it tells nothing about this appliance."""
    return json_response(description.openapi())


@blueprint.route("/", methods=_ALL)
@blueprint.route("/<path:_rest>", methods=_ALL)
def nothing(_rest: str = "") -> Response:
    """Everything else under `/v1`, so that it too gets an error object."""
    raise ApiError(
        404,
        "unknown_url",
        f"There is no {request.method} {request.path[:100]} here; "
        "GET /v1/openapi.json describes what there is.",
    )


def _answer(kind: Kind) -> Response:
    body = bodies.read_object(request)
    require_model(bodies.text_field(body, "model"))
    stream = bodies.flag_field(body, "stream")
    options = bodies.object_field(body, "stream_options")
    if options and not stream:
        raise bodies.field_error("stream_options", "goes with stream: true only")
    usage = bodies.flag_field(options, "include_usage")
    request_body = {
        name: value for name, value in body.items() if name not in {"stream", "stream_options"}
    }
    work = _work(kind, request_body)
    return answers.streamed(work, include_usage=usage) if stream else answers.whole(work)


def _read(kind: Kind) -> Response:
    body = bodies.read_object(request)
    require_model(bodies.text_field(body, "model"))
    return answers.whole(_work(kind, body), answers.plain_shape)


def _work(kind: Kind, body: dict[str, Any]) -> Work:
    who = caller()
    return Work(
        actor=who.actor,
        source=Source.API,
        body=body,
        kind=kind,
        key=who.prefix,
        address=address(),
        subject=subject(),
    )


def _shape(model: ModelStatus) -> dict[str, object]:
    return {name: model.body[name] for name in ("id", "object", "created", "owned_by")} | {
        "cloister": {
            "state": model.state,
            "alias_of": model.alias_of,
            "sha256": model.sha256,
            "context": model.context,
            "capabilities": model.body["cloister"]["capabilities"],
        }
    }


@blueprint.errorhandler(ApiError)
def _api_error(error: ApiError) -> Response:
    # Reading what there is needs no record; asking for an answer does, also when it is refused.
    if request.method == "POST":
        error = record_refusal(error)
    return error.response()


@blueprint.errorhandler(AuditError)
def _log_error(error: AuditError) -> Response:
    _logger.error("the log took no record: %s", error)
    return of_log_error(error).response()


@blueprint.errorhandler(EngineError)
def _engine_error(error: EngineError) -> Response:
    return ApiError(
        error.status, error.code, error.message, param=error.param, retry_after=error.retry_after
    ).response()


@blueprint.errorhandler(SQLAlchemyError)
def _database_error(error: SQLAlchemyError) -> Response:
    _logger.error("the app database does not answer: %s", type(error).__name__)
    return ApiError(
        503,
        "database_unavailable",
        "The app database does not answer, so no key can be checked. Try again later; "
        "if it lasts, tell an administrator.",
    ).response()


@blueprint.errorhandler(RequestEntityTooLarge)
def _too_large(_error: RequestEntityTooLarge) -> Response:
    return _api_error(bodies.too_large(request))


@blueprint.errorhandler(HTTPException)
def _http_error(error: HTTPException) -> Response:
    code = (error.name or "error").lower().replace(" ", "_")
    return _api_error(ApiError(error.code or 500, code, error.description or error.name))


@blueprint.errorhandler(Exception)
def _unexpected(error: Exception) -> Response:
    # Edge of the process. The message of an unknown error may hold a prompt; its place may not.
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "unknown"
    _logger.error("%s at %s in %s", type(error).__name__, where, request.url_rule)
    return ApiError(
        500, "internal_error", "Something went wrong here; tell an administrator the time."
    ).response()


task_views.register(blueprint)
