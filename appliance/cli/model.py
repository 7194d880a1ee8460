"""`cloister model`: what is in the models folder, how it runs, and what else could be there."""

from __future__ import annotations

from typing import Any

import click

from appliance.catalogue.errors import ManifestError
from appliance.catalogue.folder import read_catalogue
from appliance.catalogue.manifest import ModelManifest
from appliance.cli import alias, ps
from appliance.cli.common import json_option, print_json, print_list, size, words
from appliance.cli.model_known import describe_file, known
from appliance.engine.client import EngineClient, ModelStatus
from appliance.engine.errors import EngineUnavailableError
from appliance.settings import Settings


@click.group("model")
def command() -> None:
    """Models: what is here, how it runs, which names lead to it, and what is known of others."""


command.add_command(ps.command)
command.add_command(alias.activate)
command.add_command(alias.rollback)
command.add_command(alias.group)
command.add_command(known)
command.add_command(describe_file)


@command.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List all models with their state.

    \b
    Examples:
      cloister model list
      cloister model list --json
    """
    settings = Settings()
    catalogue = read_catalogue(settings.models)
    running = _running(settings)
    rows = [_row(one, running, settings) for one in catalogue.manifests.values()]
    columns = dict.fromkeys(["name", "aliases", "title", "quantisation", "context", "state"], words)
    print_list(rows, {**columns, "bytes": size}, as_json=as_json)
    for fault in catalogue.faults.values():
        click.echo(f"Not a model: {fault}", err=True)


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one model: its manifest, its file, its state.

    \b
    Examples:
      cloister model show cloister-demo
      cloister model show cloister-demo --json
    """
    settings = Settings()
    catalogue = read_catalogue(settings.models)
    manifest = catalogue.manifests.get(name)
    if manifest is None:
        known = ", ".join(catalogue.manifests) or "none"
        fault = catalogue.faults.get(name)
        raise ManifestError(fault or f"There is no model {name!r} here; there are: {known}.")
    row = _row(manifest, _running(settings), settings)
    if as_json:
        print_json(row)
        return
    width = max(len(key) for key in row)
    for key, value in row.items():
        click.echo(f"{key.replace('_', ' '):<{width}}  {words(value)}")


def _running(settings: Settings) -> dict[str, ModelStatus]:
    """What the engine says; nothing where it does not run."""
    with EngineClient(settings.engine_socket, timeout=10.0) as client:
        try:
            return {one.id: one for one in client.names()}
        except EngineUnavailableError:
            return {}


def _row(
    manifest: ModelManifest, running: dict[str, ModelStatus], settings: Settings
) -> dict[str, Any]:
    weights = manifest.weights(settings.models)
    status = running.get(manifest.name)
    return {
        **manifest.model_dump(mode="json", exclude={"template"}),
        "file": str(weights),
        "bytes": weights.stat().st_size if weights.is_file() else 0,
        "aliases": [] if status is None else status.body["cloister"]["aliases"],
        "state": _state(status, weights.is_file()),
        "error": None if status is None else status.error,
        "memory_bytes": None if status is None else status.memory_bytes,
        "in_use": None if status is None else status.in_use,
        "queued": None if status is None else status.queued,
    }


def _state(status: ModelStatus | None, present: bool) -> str:
    if not present:
        return "file missing"
    if status is None:
        return "not running"
    return status.state if status.alias_of is None else "hidden by an alias"
