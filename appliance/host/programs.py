"""The three programs, and how to tell that each is up."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from appliance.engine.options import EngineOptions, ResidencyOptions
from appliance.host.child import Program
from appliance.host.errors import ModelFileError, ProcessFailedError
from appliance.settings import Settings
from audit.client import AuditClient
from audit.errors import AuditError

_PROBE_SECONDS = 1.0
_SETTLED = frozenset(("ready", "failed", "stopped", "imported"))  # of a model that was tried
_GUNICORN = ("--config=python:appliance.web.gunicorn_conf",)


def programs(settings: Settings) -> tuple[Program, ...]:
    """Audit writer, engine and web process, in the order in which they start; and a forwarder."""
    log_ready, model_ready, pages_answer = (
        _log_takes_records(settings),
        _model_ready(settings),
        _pages_answer(settings),
    )
    writer = Program("audit writer", "audit.writer", _writer(settings), log_ready, 30, 10)
    engine = Program("engine", "appliance.engine", _engine(settings), model_ready, 300, 15)
    web = Program("web process", "gunicorn", _GUNICORN, pages_answer, 60, 10)
    if not settings.audit_forward:
        return writer, engine, web
    # It may wait for its host for ever; nobody waits for it.
    forwarder = Program(
        "log forwarder", "audit.forward", _forwarder(settings), lambda: True, 10, 10
    )
    return writer, engine, web, forwarder


def url(settings: Settings) -> str:
    """Where the pages are, for a browser on this machine."""
    return f"http://{_bracketed(_reachable(settings.host))}:{settings.port}"


def _writer(settings: Settings) -> tuple[str, ...]:
    kept = {
        "short": settings.audit_short_days,
        "standard": settings.audit_standard_days,
        "long": settings.audit_long_days,
    }
    return (
        f"--dir={settings.audit}",
        f"--head={settings.head_log}",
        f"--socket={_listened(settings.audit_socket)}",
        f"--officers={settings.officers}",
        f"--origin={settings.appliance_id}/audit",
        *(f"--retain={name}={days}" for name, days in kept.items() if days),
        f"--quota-mib={settings.audit_quota_mib}",
        f"--warn-percent={settings.audit_warn_percent}",
        f"--stop-percent={settings.audit_stop_percent}",
        f"--ballast-mib={settings.audit_ballast_mib}",
    )


def _listened(socket: Path) -> Path:
    """Where a socket really is: on a host links lead into a folder of each program.

    So no program can take another one's name while that one is down.
    """
    return Path(os.readlink(socket)) if socket.is_symlink() else socket


def _forwarder(settings: Settings) -> tuple[str, ...]:
    ca = (f"--ca={settings.audit_forward_ca}",) if settings.audit_forward_ca else ()
    return (
        f"--dir={settings.audit}",
        f"--state={settings.forward}",
        f"--to={settings.audit_forward}",
        f"--name={settings.audit_forward_name}",
        f"--host={settings.appliance_id}",
        *ca,
    )


def engine_options(settings: Settings) -> EngineOptions:
    """The sizes that the engine is started with; raises OptionsError where two contradict."""
    return EngineOptions(
        threads=settings.engine_threads,
        sequences=settings.engine_sequences,
        context=settings.engine_context,
        queue=settings.engine_queue,
        step_tokens=settings.engine_step_tokens,
        prefixes=settings.engine_prefixes,
        draft=settings.engine_draft,
        exact=settings.engine_exact,
        gpu_layers=settings.engine_gpu_layers,
        flash_attention=settings.engine_flash_attention,
        cache_type_k=settings.engine_cache_type_k,
        cache_type_v=settings.engine_cache_type_v,
    )


def _engine(settings: Settings) -> tuple[str, ...]:
    return (
        f"--socket={_listened(settings.engine_socket)}",
        f"--models={settings.models}",
        f"--run-dir={_listened(settings.engine_socket).parent}",
        f"--state-dir={settings.engine}",
        *engine_options(settings).arguments(),
        *_residency(settings).arguments(),
    )


def _residency(settings: Settings) -> ResidencyOptions:
    return ResidencyOptions(
        settings.engine_memory_mib, settings.engine_wait_seconds, settings.engine_pinned
    )


def _log_takes_records(settings: Settings) -> Callable[[], bool]:
    def ready() -> bool:
        if not settings.audit_socket.exists():
            return False
        with closing(AuditClient(settings.audit_socket, _PROBE_SECONDS)) as client:
            try:
                status = client.status()
            except AuditError:
                return False
        if status.health == "read_only":
            raise ProcessFailedError("The log takes no records.", status.reason)
        # Without room for prompts the pages must come up all the same: somebody has to clean up.
        return status.health in {"ok", "no_room"}

    return ready


def _model_ready(settings: Settings) -> Callable[[], bool]:
    def ready() -> bool:
        if not settings.engine_socket.exists():
            return False
        with EngineClient(settings.engine_socket, _PROBE_SECONDS) as client:
            try:
                models = client.models()
            except EngineError:
                return False
        failed = [model for model in models if model.state == "failed"]
        if failed and len(failed) == len(models):
            raise ModelFileError(
                f"Model {failed[0].id!r} can not be loaded: {failed[0].error}",
                f"Put the right file into {settings.models}, then start again.",
            )
        return bool(models) and all(model.state in _SETTLED for model in models)

    return ready


def _pages_answer(settings: Settings) -> Callable[[], bool]:
    def ready() -> bool:
        host = _reachable(settings.host)
        with closing(
            http.client.HTTPConnection(host, settings.port, timeout=_PROBE_SECONDS)
        ) as connection:
            try:
                connection.request("GET", "/healthz")
                return connection.getresponse().status == http.client.OK
            except OSError:
                return False

    return ready


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
