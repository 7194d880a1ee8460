"""The adapters of a runner: checked at their first use, then attached beside the base model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from appliance.catalogue.digest import check_digest
from appliance.catalogue.errors import CatalogueError, GgufError
from appliance.catalogue.gguf import read_gguf
from appliance.catalogue.inspection import inspect_adapter
from appliance.catalogue.manifest import ModelManifest, read_manifest
from appliance.engine.errors import ModelFailedError, ModelLoadError
from appliance.engine.identity import Chosen
from appliance.engine.llama import Adapter, Loaded, load_adapter
from appliance.engine.tensors import TensorFile

_RETRY_SECONDS = 60

BetweenSteps = Callable[[Callable[[], Any]], "Future[Any]"]
"""Has the thread that decodes make a call."""


class Adapters:
    """Those that are attached to one model; they stay for as long as it does.

    Args:
        base: manifest of the model.
        models: the folder that the manifests lie in.
        loaded: the model.
        between_steps: has the thread that decodes make a call.
    """

    def __init__(
        self, base: ModelManifest, models: Path, loaded: Loaded, between_steps: BetweenSteps
    ) -> None:
        """Attach none yet."""
        self._base = base
        self._models = models
        self._loaded = loaded
        self._between_steps = between_steps
        self._attached: dict[Chosen, Adapter] = {}
        self._refused: dict[Chosen, tuple[object, str]] = {}  # with what the file was then
        self._one_at_a_time = asyncio.Lock()

    async def get(self, chosen: Chosen) -> Adapter:
        """An attached adapter; the first request for it waits until it is checked.

        Raises:
            ModelFailedError: it can not be used, or has shown that it must not be.
        """
        adapter = self._attached.get(chosen)
        if adapter is None:
            async with self._one_at_a_time:
                adapter = self._attached.get(chosen) or await self._attach(chosen)
        if adapter.is_spoilt:
            raise _failed(
                chosen,
                "with it the model computed numbers that are none, so it is not used any more;"
                f" its weights are damaged. Remove it: cloister model rm {chosen.name}",
            )
        return adapter

    async def _attach(self, chosen: Chosen) -> Adapter:
        stamp = await asyncio.to_thread(self._signature, chosen.name)
        before, reason = self._refused.get(chosen, (None, ""))
        if before is not None and before == stamp:
            raise _failed(chosen, reason)
        try:
            path = await asyncio.to_thread(self._checked, chosen)
            made = self._between_steps(lambda: load_adapter(self._loaded.model, path))
            handle = await asyncio.wrap_future(made)
        except (CatalogueError, ModelLoadError) as error:
            self._refused[chosen] = stamp, str(error)
            raise _failed(chosen, str(error)) from error
        self._attached[chosen] = Adapter(chosen.name, chosen.digest, handle)
        return self._attached[chosen]

    def _signature(self, name: str) -> object:
        """Changes when the adapter's manifest or its file does."""
        paths = [self._models / f"{name}.toml"]
        with suppress(CatalogueError):
            paths.append(read_manifest(paths[0]).weights(self._models))
        return tuple(_stamp(path) for path in paths)

    def _checked(self, chosen: Chosen) -> Path:
        """The adapter's file, once everything about it has been looked at."""
        manifest = read_manifest(self._models / f"{chosen.name}.toml")
        if (manifest.base, manifest.sha256) != (self._base.name, chosen.digest):
            raise GgufError("its manifest was changed meanwhile; try again.")
        weights = manifest.weights(self._models)
        check_digest(manifest, self._models)
        inspect_adapter(weights, self._base.weights(self._models))
        check_numbers(weights)
        return weights


def check_numbers(weights: Path) -> None:
    """Return only if all elements of a checked adapter are numbers.

    Raises:
        GgufError: one is not; names its tensor.
    """
    file = TensorFile(weights)
    for tensor in read_gguf(weights).tensors:
        if not np.isfinite(file.read(tensor.name)).all():
            raise GgufError(
                f"{weights.name}: tensor {tensor.name!r} has elements that are no numbers; convert"
                " the adapter anew."
            )


def _failed(chosen: Chosen, reason: str) -> ModelFailedError:
    return ModelFailedError(chosen.name, reason, _RETRY_SECONDS)


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
