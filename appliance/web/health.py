"""Whether this process lives, whether it can answer, and its numbers.

`/healthz` and the yes or no of `/readyz` are open to everyone. The parts of `/readyz` and all of
`/metrics` are for the networks in the setting `metrics_networks`, which is loopback unless an
operator says otherwise. Nothing here names a person or holds a text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from flask import Blueprint, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import Forbidden

from appliance.engine.errors import EngineError
from appliance.tasks.metrics import REGISTRY
from appliance.web.api.errors import json_response
from appliance.web.client import address
from appliance.web.log_numbers import LogNumbers
from appliance.web.services import services
from appliance.web.worker import state
from audit.errors import AuditError
from audit.forward.position import read_position

blueprint = Blueprint("health", __name__)

_RETRY_SECONDS = "5"
_REQUESTS = Counter(
    "cloister_http_requests_total",
    "HTTP requests by blueprint and class of status.",
    ["area", "status"],
    registry=REGISTRY,
)
_SECONDS = Histogram(
    "cloister_http_seconds",
    "Time until the head of an HTTP answer.",
    ["area"],
    registry=REGISTRY,
)


@dataclass(frozen=True)
class Part:
    """One thing that an answer needs. `detail` is for operators."""

    name: str
    ready: bool
    detail: str


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process lives and takes requests."""
    return json_response({"status": "ok"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """A request would be answered now; 503 where a part is missing."""
    parts = list(_parts())
    ready = all(part.ready for part in parts)
    body: dict[str, object] = {"ready": ready}
    if _may_look():
        body["parts"] = {part.name: {"ready": part.ready, "detail": part.detail} for part in parts}
    response = json_response(body, 200 if ready else 503)
    if not ready:
        response.headers["Retry-After"] = _RETRY_SECONDS
    return response


@blueprint.get("/metrics")
def metrics() -> Response:
    """Numbers of all workers, of the log and of the engine, in Prometheus' text format."""
    if not _may_look():
        raise Forbidden
    text = generate_latest(_all_workers()).decode()
    text += generate_latest(_log_metrics()).decode()
    return Response(text + _engine_metrics(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


@blueprint.before_app_request
def _start_clock() -> None:
    g.started = time.monotonic()


@blueprint.after_app_request
def _count(response: Response) -> Response:
    # Blueprints, not paths: what somebody types into the address bar must not become a label.
    area = request.blueprint or "none"
    _REQUESTS.labels(area, f"{response.status_code // 100}xx").inc()
    if "started" in g:
        _SECONDS.labels(area).observe(time.monotonic() - g.started)
    return response


def _parts() -> Iterator[Part]:
    yield _database()
    yield _log()
    yield _engine()


def _database() -> Part:
    try:
        services().database.ping()
    except SQLAlchemyError as error:
        return Part("database", False, type(error).__name__)
    return Part("database", True, "answers")


def _log() -> Part:
    try:
        status = services().log.status()
    except AuditError as error:
        return Part("log", False, str(error))
    detail = status.reason or status.warning or f"{status.size} records"
    return Part("log", status.health == "ok", detail)


def _engine() -> Part:
    try:
        models = state().quick.models()
    except EngineError as error:
        return Part("engine", False, error.message)
    ready = [model.id for model in models if model.state == "ready"]
    # Those start when somebody asks for them.
    resting = [model.id for model in models if model.state == "stopped"]
    if ready or resting:
        return Part("engine", True, f"ready: {', '.join(ready + resting)}")
    states = ", ".join(f"{model.id} {model.state}" for model in models)
    return Part("engine", False, f"no model is ready ({states or 'there is no model'})")


def _all_workers() -> CollectorRegistry:
    """The registry of this worker, or where there are more, what all their files add up to."""
    if services().settings.web_workers == 1:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call] # the library is not annotated
    return together


def _log_metrics() -> CollectorRegistry:
    registry = CollectorRegistry()
    try:
        status = services().log.status()
    except AuditError:
        status = None
    settings = services().settings
    told = read_position(settings.forward).next if settings.audit_forward else None
    registry.register(LogNumbers(status, settings.audit_grade, told))
    return registry


def _engine_metrics() -> str:
    try:
        return state().quick.metrics()
    except EngineError:
        return "# the engine does not answer\n"


def _may_look() -> bool:
    try:
        client = ip_address(address())
    except ValueError:
        return False
    return any(client in network for network in services().settings.metrics_networks)
