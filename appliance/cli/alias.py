"""`cloister model activate`, `rollback`, `alias`: which model a name leads to."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import click

from appliance.cli.common import (
    actor,
    console,
    json_option,
    open_log,
    print_json,
    print_list,
    words,
)
from appliance.engine.admin_client import EngineAdmin
from appliance.engine.errors import EngineError
from appliance.settings import Settings
from audit.client import AuditClient, RecordType

_LOAD_SECONDS: Final = 1200.0  # for a large model on a slow disk
_EVENT: Final = "engine:alias"

_stop_first = click.option(
    "--stop-first",
    is_flag=True,
    help="Where both do not fit into memory: stop the present model first; requests wait.",
)


@click.command("activate")
@click.argument("model")
@click.option("--alias", required=True, help="Name that applications ask for; new or known.")
@_stop_first
@json_option
def activate(model: str, alias: str, stop_first: bool, as_json: bool) -> None:
    """Point an alias at a model, once that has answered a small request.

    Requests under way end on the model that they began on. Where the new model can not be loaded or
    does not answer, the alias stays where it is. Both models are in memory meanwhile; where they do
    not fit, --stop-first makes room, and requests for the alias wait until the new one answers.

    \b
    Examples:
      cloister model activate cloister-demo --alias triage
      cloister model activate mixtral-8x7b-q4 --alias letters --stop-first
      cloister model activate mistral-7b-q4 --alias letters --json
    """
    with _engine() as (log, engine):
        with _progress(f"Loading {model}"):
            move = engine.prepare(alias, model, stop_first=stop_first)
        with _recorded(log, "activated", move):
            move = engine.activate(alias, model, actor(), move["sha256"])
    _tell(move, as_json=as_json)


@click.command("rollback")
@click.argument("alias")
@_stop_first
@json_option
def rollback(alias: str, stop_first: bool, as_json: bool) -> None:
    """Point an alias at the model that it pointed at before.

    Each further rollback goes one move further back. Where that model does not fit into memory
    beside the present one, --stop-first makes room, as in activate.

    \b
    Examples:
      cloister model rollback triage
      cloister model rollback letters --stop-first
      cloister model rollback triage --json
    """
    with _engine() as (log, engine):
        with _progress("Loading the model before"):
            move = engine.prepare(alias, None, stop_first=stop_first)
        with _recorded(log, "rolled-back", move):
            move = engine.rollback(alias, move["model"])
    _tell(move, as_json=as_json)


@click.group("alias")
def group() -> None:
    """Aliases: list them, remove one; `activate` makes and moves them."""


@group.command("list")
@json_option
def list_aliases(as_json: bool) -> None:
    """List all aliases, with the models that they pointed at before, the latest first.

    \b
    Examples:
      cloister model alias list
      cloister model alias list --json
    """
    with EngineAdmin(Settings().engine_socket, timeout=10.0) as engine:
        rows = engine.aliases()
    columns = {"alias": words, "model": words, "sha256": _short, "since": _minute, "by": words}
    print_list(rows, {**columns, "earlier": _earlier}, as_json=as_json)


@group.command("remove")
@click.argument("alias")
@json_option
def remove(alias: str, as_json: bool) -> None:
    """Forget an alias; whoever still asks for it is told that there is no such model.

    \b
    Example:
      cloister model alias remove triage
    """
    with _engine() as (log, engine):
        known = {one["alias"]: one["model"] for one in engine.aliases()}
        move = {"alias": alias, "model": None, "sha256": None, "before": known.get(alias)}
        # The engine says it best where there is no such alias, and then there is nothing to record.
        with _recorded(log, "removed", move) if alias in known else nullcontext():
            move = dict(engine.remove(alias))
    _tell(move, as_json=as_json)


@contextmanager
def _engine() -> Iterator[tuple[AuditClient, EngineAdmin]]:
    settings = Settings()
    with (
        open_log(settings) as log,
        EngineAdmin(settings.engine_socket, timeout=_LOAD_SECONDS) as engine,
    ):
        yield log, engine


@contextmanager
def _recorded(log: AuditClient, what: str, move: Mapping[str, Any]) -> Iterator[None]:
    """Record a move before it is made; and that it was not made, where the engine refuses it."""
    about = {
        "alias": move["alias"],
        "model": move["model"],
        "model_digest": move["sha256"],
        "before": move["before"],
    }
    receipt = log.append(
        RecordType.ADMIN, actor=actor(), meta={"event": f"{_EVENT}:{what}"} | about
    )
    try:
        yield
    except EngineError as error:
        failed = {"event": f"{_EVENT}:not-{what}", "instead_of": receipt.event, "code": error.code}
        log.append(RecordType.ADMIN, actor=actor(), meta=failed | about)
        raise


def _progress(text: str) -> AbstractContextManager[object]:
    return console().status(text) if sys.stdout.isatty() else nullcontext()


def _tell(move: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(move)
    elif move["model"] is None:
        click.echo(f"Removed the alias {move['alias']}; it pointed at {move['before']}.")
    elif move["before"] == move["model"]:
        click.echo(f"{move['alias']} points at {move['model']}, as before.")
    elif move["before"] is None:
        click.echo(f"{move['alias']} points at {move['model']}; the alias is new.")
    else:
        click.echo(f"{move['alias']} points at {move['model']}; before, at {move['before']}.")


def _short(digest: str) -> str:
    return f"{digest[:12]}…"


def _minute(since: str) -> str:
    return since.replace("T", " ")[:16]


def _earlier(targets: list[Mapping[str, str]]) -> str:
    return ", ".join(target["model"] for target in targets) or "-"
