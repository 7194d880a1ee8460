"""`cloister model`: what is in the models folder, how it runs, and what else could be there."""

from __future__ import annotations

from typing import Any

import click

from appliance.catalogue.errors import CatalogueError, ManifestError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.folder import Catalogue, file_size, read_catalogue
from appliance.catalogue.inspection import inspect, inspect_adapter
from appliance.catalogue.manifest import ModelManifest
from appliance.catalogue.room import available_memory
from appliance.cli import alias, ps
from appliance.cli.common import json_option, print_json, print_list, size, words
from appliance.cli.model_import import import_model
from appliance.cli.model_known import describe_file, known
from appliance.cli.model_remove import remove
from appliance.engine.budget import fits, planned
from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineUnavailableError
from appliance.engine.overview import ModelStatus
from appliance.host.programs import engine_options
from appliance.importing.quarantine import unfinished
from appliance.settings import Settings


@click.group("model")
def command() -> None:
    """Models: what is here, how it runs, which names lead to it, and what is known of others."""


command.add_command(import_model)
command.add_command(ps.command)
command.add_command(alias.activate)
command.add_command(alias.rollback)
command.add_command(alias.group)
command.add_command(remove)
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
    columns = dict.fromkeys(
        ["name", "base", "aliases", "title", "quantisation", "context", "state"], words
    )
    print_list(rows, {**columns, "bytes": size}, as_json=as_json)
    for fault in catalogue.faults.values():
        click.echo(f"Not a model: {fault}", err=True)
    for left in unfinished(settings.quarantine):
        click.echo(
            f"In quarantine: {left.name} ({size(left.size())}). The same import goes on from there;"
            f" to delete it: cloister model rm {left.name}",
            err=True,
        )


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one model: its manifest, its file, its state, and the memory that it takes.

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
    running = _running(settings)
    row = _row(manifest, running, settings)
    memory = _memory(manifest, catalogue, running, settings)
    if as_json:
        print_json({**row, "memory": memory})
        return
    lines = {key: words(value) for key, value in row.items()}
    lines |= {f"memory_{key}": _amount(value) for key, value in memory.items()}
    width = max(len(key) for key in lines)
    for key, line in lines.items():
        click.echo(f"{key.replace('_', ' '):<{width}}  {line}")


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
        "bytes": file_size(weights),
        "aliases": [] if status is None else status.body["cloister"]["aliases"],
        "state": _state(status, weights.is_file()),
        "error": None if status is None else status.error,
        "memory_bytes": None if status is None else status.memory_bytes,
        "in_use": None if status is None else status.in_use,
        "queued": None if status is None else status.queued,
    }


def _memory(
    manifest: ModelManifest,
    catalogue: Catalogue,
    running: dict[str, ModelStatus],
    settings: Settings,
) -> dict[str, Any]:
    """What a runner of the model takes, as planned before each load, and whether it is there.

    Of an adapter it is the runner of its base, with all adapters of that.
    """
    try:
        manifest, facts = _looked_into(manifest, catalogue, settings)
    except CatalogueError as error:
        return {"fault": str(error)}
    adapters = catalogue.adapters_of(manifest.name)
    beside = sum(file_size(each.weights(settings.models)) for each in adapters)
    plan = planned(facts, manifest.context, engine_options(settings), beside)
    up = {name for name, status in running.items() if status.memory_bytes}
    # A loaded model's mapped weights are free memory to the kernel, but not to another model.
    mapped = sum(_size_of(catalogue, name, settings) for name in up - {manifest.name})
    free = max(0, available_memory() - mapped)
    if settings.engine_memory_mib:
        # Others may be stopped to come below the limit, but it is never more.
        free = min(free, settings.engine_memory_mib * 1024 * 1024)
    return {
        "weights": plan.mapped + plan.repacked,
        "cache": plan.cache,
        "compute": plan.compute,
        "runner": plan.runner,
        "needed": plan.needed,
        "resident": plan.resident,
        "available": free,
        "fits": "loaded" if manifest.name in up else fits(plan, free),
    }


def _looked_into(
    manifest: ModelManifest, catalogue: Catalogue, settings: Settings
) -> tuple[ModelManifest, ModelFacts]:
    """The model that is loaded, and the sizes of its file."""
    if manifest.base is None:
        return manifest, inspect(manifest, settings.models)
    base = catalogue.manifests.get(manifest.base)
    if base is None:
        raise ManifestError(
            f"{manifest.name!r} is an adapter of {manifest.base!r}, which is not here; bring it in."
        )
    inspect_adapter(manifest.weights(settings.models), base.weights(settings.models))
    return base, inspect(base, settings.models)


def _size_of(catalogue: Catalogue, name: str, settings: Settings) -> int:
    manifest = catalogue.manifests.get(name)
    return 0 if manifest is None else file_size(manifest.weights(settings.models))


def _amount(value: bool | int | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return size(value) if isinstance(value, int) else value


def _state(status: ModelStatus | None, present: bool) -> str:
    if not present:
        return "file missing"
    if status is None:
        return "not running"
    return status.state if status.alias_of is None else "hidden by an alias"
