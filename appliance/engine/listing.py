"""What `GET /v1/models` and the metrics say of models and aliases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from appliance.catalogue.folder import file_size
from appliance.catalogue.manifest import ModelManifest
from appliance.engine.aliases import Aliases, Target
from appliance.engine.budget import MemoryBudget
from appliance.engine.keeper import Keeper, State
from appliance.engine.options import EngineOptions
from appliance.engine.relay import Call, RunnerGoneError, call_whole

_STATUS_SECONDS = 1.5  # less than those who ask wait for the whole list
_COUNTED = (
    "in_use",
    "queued",
    "tokens_per_second",
    "requests",
    "prefix_hits",
    "shared_tokens",
    "prompt_tokens",
    "answer_tokens",
    "warmed",
)

# Counts and memory of both are in the base's entry, and there once.
_OF_BASE = ("state", "context", "error", "capabilities", "build")

Reading = Mapping[str, Any]


async def readings(keepers: Sequence[Keeper]) -> dict[str, Reading]:
    """What every model's runner says of itself now, by name."""
    found = await asyncio.gather(*map(_reading, keepers))
    return {keeper.name: reading for keeper, reading in zip(keepers, found, strict=True)}


async def _reading(keeper: Keeper) -> Reading:
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
        "measured": bool(reading),
        # Those that the runner has, and those that wait until there is one.
        "queued": reading.get("queued", 0) + keeper.waiting,
        "state": keeper.state,
        "restarts": keeper.restarts,
        "memory_bytes": memory,
    }


def entries(
    keepers: Sequence[Keeper],
    adapters: Sequence[ModelManifest],
    found: Mapping[str, Reading],
    aliases: Aliases,
    options: EngineOptions,
    folder: Path,
) -> list[dict[str, Any]]:
    """Models, then adapters, then aliases, each in the order of their names.

    Args:
        keepers: of the models.
        adapters: manifests of the adapters.
        found: their readings.
        aliases: all of them.
        options: sizes of the runners.
        folder: of the models' files.
    """
    models = {
        keeper.name: _model(keeper, found[keeper.name], aliases, options, folder)
        for keeper in keepers
    }
    for adapter in adapters:
        models[adapter.name] = _adapter(adapter, models, aliases, options, folder)
    named = [_alias(name, each[-1], models, options) for name, each in aliases.all().items()]
    return [*models.values(), *named]


def _model(
    keeper: Keeper, reading: Reading, aliases: Aliases, options: EngineOptions, folder: Path
) -> dict[str, Any]:
    manifest, runner = keeper.manifest, keeper.runner
    own = {
        "state": State.IMPORTED if aliases.hold_back(manifest) else keeper.state,
        "alias_of": None,
        "base": None,
        "aliases": aliases.of(keeper.name),
        "sha256": manifest.sha256 if manifest else "",
        "context": runner.context if runner else manifest.context if manifest else 0,
        "sequences": options.sequences,
        **{name: reading.get(name, 0) for name in _COUNTED},
        "measured": reading["measured"],
        "pace": reading.get("pace", []),
        "restarts": keeper.restarts,
        **_computing(options),
        "weights_bytes": file_size(manifest.weights(folder)) if manifest else 0,
        "memory_bytes": reading["memory_bytes"],
        "held_bytes": keeper.held_bytes,
        "gives_way": keeper.closed,
        "error": keeper.error,
        "title": manifest.title if manifest else keeper.name,
        "notice": manifest.notice if manifest else "",
        "capabilities": list(manifest.capabilities) if manifest else [],
        "build": runner.build if runner else None,
    }
    return _entry(keeper.name, keeper.created, own)


def _adapter(
    manifest: ModelManifest,
    models: Mapping[str, dict[str, Any]],
    aliases: Aliases,
    options: EngineOptions,
    folder: Path,
) -> dict[str, Any]:
    """An adapter: it is as its base is, which also counts its requests, and the memory of both."""
    base = models.get(str(manifest.base))
    created = 0 if base is None else base["created"]
    own = _gone(manifest.name, f"its base, {manifest.base!r}, is not here", options)
    if base is not None:
        its = base["cloister"]
        own |= {name: its[name] for name in _OF_BASE}
    if aliases.hold_back(manifest):
        own["state"] = State.IMPORTED
    own |= {
        "base": manifest.base,
        "aliases": aliases.of(manifest.name),
        "sha256": manifest.sha256,
        "weights_bytes": file_size(manifest.weights(folder)),
        "title": manifest.title,
        "notice": manifest.notice,
    }
    return _entry(manifest.name, created, own)


def _alias(
    name: str, target: Target, models: Mapping[str, dict[str, Any]], options: EngineOptions
) -> dict[str, Any]:
    """An alias as its model, under its own name; `failed` where the model has gone."""
    created = int(target.since.timestamp())
    model = models.get(target.model)
    if model is not None:
        return _entry(name, created, model["cloister"] | {"alias_of": target.model, "aliases": []})
    fault = f"it points at model {target.model!r}, which is no longer here"
    own = _gone(name, fault, options)
    return _entry(name, created, own | {"alias_of": target.model, "sha256": target.sha256})


def _gone(title: str, fault: str, options: EngineOptions) -> dict[str, Any]:
    """What is said of a name whose model is not here."""
    return {
        "state": State.FAILED,
        "alias_of": None,
        "base": None,
        "aliases": [],
        "sha256": "",
        "context": 0,
        "sequences": options.sequences,
        **dict.fromkeys(_COUNTED, 0),
        "measured": False,
        "pace": [],
        "restarts": 0,
        **_computing(options),
        "weights_bytes": 0,
        "memory_bytes": 0,
        "held_bytes": 0,
        "gives_way": False,
        "error": fault,
        "title": title,
        "notice": "",
        "capabilities": [],
        "build": None,
    }


def _computing(options: EngineOptions) -> dict[str, str]:
    """What the runners compute on, and how they attend and keep."""
    return {
        "processor": options.processor,
        "flash_attention": options.flash_attention,
        "cache_type_k": options.cache_type_k,
        "cache_type_v": options.cache_type_v,
    }


def memory(budget: MemoryBudget) -> dict[str, Any]:
    """What all runners hold by their plans, what they may, and whether an operator set that."""
    return {
        "held_bytes": budget.held,
        "limit_bytes": budget.limit,
        "limit_set": budget.is_limited,
    }


def _entry(name: str, created: int, own: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "cloister",
        "cloister": own,
    }
