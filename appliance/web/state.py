"""How the appliance stands, in words for the pages: models, log, and what a person can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from flask import g

from appliance.engine.errors import EngineError
from appliance.engine.overview import ModelStatus, Overview
from appliance.web.services import services
from appliance.web.worker import state as api_state
from audit.client import LogStatus
from audit.errors import AuditError

_MODEL_STATES: Final = {
    "ready": ("ok", "Ready"),
    "starting": ("warn", "Loading"),
    "backoff": ("warn", "Restarting"),
    "failed": ("bad", "Can not be loaded"),
    "stopped": ("ok", "On disk, starts when asked for"),
    "imported": ("warn", "Waits to be activated"),
}


@dataclass(frozen=True)
class Standing:
    """One state: `kind` is `ok`, `warn` or `bad`; `advice` is a sentence, or empty."""

    kind: str
    words: str
    advice: str = ""


@dataclass(frozen=True)
class Part:
    """A part of the appliance and how it stands."""

    name: str
    standing: Standing


def log_status() -> LogStatus | None:
    """The log's status, asked once a request; None where the writer does not answer."""
    if "log_status" not in g:
        try:
            g.log_status = services().log.status()
        except AuditError:
            g.log_status = None
    found: LogStatus | None = g.log_status
    return found


def model_list() -> list[ModelStatus] | None:
    """All models, without their aliases; None where the engine does not answer."""
    names = name_list()
    return None if names is None else [one for one in names if one.alias_of is None]


def name_list() -> list[ModelStatus] | None:
    """All models and aliases; None where the engine does not answer."""
    found = overview()
    return None if found is None else list(found.names)


def overview() -> Overview | None:
    """What the engine says now, asked once a request; None where it does not answer."""
    if "overview" not in g:
        try:
            g.overview = api_state().quick.overview()
        except EngineError:
            g.overview = None
    found: Overview | None = g.overview
    return found


def of_model(model: ModelStatus | None) -> Standing:
    """How one model stands; None is a model that is not there."""
    if model is None:
        return Standing("bad", "Not installed", "This model is not on the appliance.")
    if model.state == "ready" and model.body["cloister"]["gives_way"]:
        return Standing("warn", "Stops after its requests")
    kind, words = _MODEL_STATES.get(model.state, ("warn", model.state))
    return Standing(kind, words, model.error or "")


def of_log(status: LogStatus | None) -> Standing:
    """How the log stands."""
    if status is None:
        return Standing("bad", "Does not answer", "The audit writer does not run.")
    if status.health == "ok":
        words = "Runs out of room" if status.warning else "Takes records"
        return Standing("warn" if status.warning else "ok", words, status.warning)
    if status.health == "no_room":
        return Standing("bad", "Takes no prompts", status.reason)
    return Standing("bad", "Takes no records", status.reason)


def of_service(wanted: str | None = None) -> Standing:
    """How the service stands for staff: may they expect an answer?

    Args:
        wanted: The model or alias that is needed; None looks at all models.
    """
    if of_log(log_status()).kind == "bad":
        return Standing("bad", "Not recording", "Tasks do not run while the log takes no records.")
    names, models = name_list(), model_list()
    if names is None or models is None:
        return Standing("bad", "Engine is down", "The engine does not answer; tasks do not run.")
    if wanted is not None:
        return of_model(next((one for one in names if one.id == wanted), None))
    models = [model for model in models if model.state != "imported"]
    if not models:
        return Standing("warn", "No model", "No model is active yet; tasks need one.")
    ready = sum(of_model(model).kind == "ok" for model in models)
    if ready == len(models):
        return Standing("ok", "Ready")
    return Standing("warn", f"{ready} of {len(models)} models ready")


def notices(wanted: set[str]) -> list[str]:
    """What the manifests of these models, or of those behind these aliases, tell people."""
    found = (_notice(one.body) for one in name_list() or () if one.id in wanted)
    return list(dict.fromkeys(text for text in found if text))


def _notice(body: Any) -> str:  # noqa: ANN401 - JSON
    own = body.get("cloister", {})
    return str(own.get("notice") or "")
