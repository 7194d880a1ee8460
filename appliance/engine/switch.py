"""Moving aliases: to a model that has answered, durably, and never under a request's feet.

An alias is looked up once, when a request arrives, and the request stays with the runner that it
was given to. So a move only has to be right for the requests that come after it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from appliance.catalogue.manifest import ModelManifest
from appliance.engine.aliases import Aliases, Target, check_alias_name
from appliance.engine.errors import (
    AliasNotKeptError,
    AliasRefusedError,
    EngineError,
    ModelNotReadyError,
    SmokeError,
)
from appliance.engine.fleet import Fleet
from appliance.engine.identity import MODEL_DIGEST
from appliance.engine.launch import Runner
from appliance.engine.relay import Call, RunnerGoneError, exchange

_LOAD_SECONDS = 900.0
_ANSWER_SECONDS = 120.0  # of the smoke request; on a busy model it waits its turn
_RETRY_SECONDS = 10


@dataclass(frozen=True)
class Move:
    """A move of an alias, made or about to be made.

    Args:
        alias: its name.
        model: where it points after the move; None where it is removed.
        sha256: of that model's weights.
        before: model where it pointed before; None if it is new.
    """

    alias: str
    model: str | None
    sha256: str | None
    before: str | None

    def body(self) -> dict[str, Any]:
        """The move as a JSON object."""
        return asdict(self)


class Switch:
    """Moves aliases between the models of a fleet; one move at a time."""

    def __init__(self, fleet: Fleet, aliases: Aliases) -> None:
        """No model has answered yet."""
        self._fleet = fleet
        self._aliases = aliases
        self._proven: dict[str, Runner] = {}
        self._moving = asyncio.Lock()

    async def prepare(self, alias: str, model: str | None) -> Move:
        """Load the model of a move if it is not loaded, and have it answer a small request.

        Args:
            alias: that is to be moved.
            model: where to; None for where it pointed before.

        Raises:
            AliasRefusedError: the move would be refused.
            UnknownModelError, ModelFailedError, ModelNotReadyError: the model does not run.
            SmokeError: it runs, but gives no answer.
        """
        if model is None:
            target = back = self._aliases.previous(alias)
            _check_way_back(alias, back, await self._target(back.model))
        else:
            self._check_name(alias)
            target = await self._proved(model, by="")
        return Move(alias, target.model, target.sha256, self._present(alias))

    async def activate(self, alias: str, model: str, by: str, sha256: str | None = None) -> Move:
        """Point an alias at a model, once that has answered.

        Args:
            alias: new or known.
            model: must be a model's own name.
            by: who does it, for the history.
            sha256: weights that the model must have; None takes what it has.

        Raises:
            AliasRefusedError: the alias has a model's name or no good one; or other weights.
            AliasNotKeptError: the move could not be written.
            EngineError: as in `prepare`. The alias is where it was, whatever is raised.
        """
        target = await self._target(model, by)
        if sha256 is not None and target.sha256 != sha256:
            raise AliasRefusedError(
                f"Model {model!r} has other weights by now (SHA-256 {target.sha256[:16]}…,"
                f" not {sha256[:16]}…); activate it again if that is what you want."
            )
        async with self._moving:
            self._check_name(alias)
            before = self._present(alias)
            await _written(partial(self._aliases.point, alias, target))
        return Move(alias, model, target.sha256, before)

    async def rollback(self, alias: str, expected: str | None = None) -> Move:
        """Point an alias at what it pointed at before, once that has answered.

        Args:
            alias: a known one.
            expected: model that it must go back to; None takes what there is.

        Raises:
            UnknownAliasError: there is no such alias.
            AliasRefusedError: there is nothing to go back to, or something else than expected, or
                the model has other weights than it had.
            EngineError: as in `activate`.
        """
        back = self._aliases.previous(alias)
        _check_way_back(alias, back, await self._target(back.model))
        async with self._moving:
            before = self._present(alias)
            if self._aliases.previous(alias) != back or expected not in {None, back.model}:
                raise AliasRefusedError(f"Alias {alias!r} was moved meanwhile; look and try again.")
            await _written(partial(self._aliases.back, alias))
        return Move(alias, back.model, back.sha256, before)

    async def remove(self, alias: str) -> Move:
        """Forget an alias; requests that ask for it get a 404 from now on.

        Raises:
            UnknownAliasError: there is no such alias.
            AliasNotKeptError: it could not be written; the alias is still there.
        """
        async with self._moving:
            last = self._aliases.targets(alias)[-1]
            await _written(partial(self._aliases.remove, alias))
        return Move(alias, None, None, last.model)

    def _present(self, alias: str) -> str | None:
        return self._aliases.resolve(alias) if alias in self._aliases else None

    def _check_name(self, alias: str) -> None:
        check_alias_name(alias)
        if self._fleet.has_manifest(alias):
            raise AliasRefusedError(
                f"There is a model {alias!r}; an alias must not hide it. Choose another name."
            )

    async def _loaded(self, model: str) -> tuple[ModelManifest, Runner]:
        if model in self._aliases:
            raise AliasRefusedError(f"{model!r} is an alias itself; name a model.")
        try:
            keeper = await asyncio.wait_for(self._fleet.current(model), _LOAD_SECONDS)
        except TimeoutError:
            raise ModelNotReadyError(model, _RETRY_SECONDS) from None
        if keeper.manifest is None:
            raise ModelNotReadyError(model, _RETRY_SECONDS)
        return keeper.manifest, keeper.ready()

    async def _proved(self, model: str, by: str) -> Target:
        """The model as a target, after it has answered a small request."""
        manifest, runner = await self._loaded(model)
        await _smoke(manifest, runner)
        self._proven[model] = runner
        return Target.now(model, manifest.sha256, by)

    async def _target(self, model: str, by: str = "") -> Target:
        """The model as a target; it has answered since it was loaded."""
        manifest, runner = await self._loaded(model)
        if self._proven.get(model) is not runner:
            return await self._proved(model, by)
        return Target.now(model, manifest.sha256, by)


def _check_way_back(alias: str, back: Target, found: Target) -> None:
    if not found.is_same_as(back):
        raise AliasRefusedError(
            f"Model {back.model!r} has other weights than when {alias!r} pointed at it, so this"
            " would be no way back. If you want them, name it with: cloister model activate."
        )


async def _written(write: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(write)
    except OSError as error:
        raise AliasNotKeptError(error.strerror or str(error)) from error


async def _smoke(manifest: ModelManifest, runner: Runner) -> None:
    """Return only if the runner answers a small request, from the right weights.

    Raises:
        SmokeError: it does not.
    """
    path, body = _small_request(manifest)
    call = Call(runner.socket, "POST", path, json.dumps(body).encode())
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), exchange(call) as incoming:
            raw = b"".join([part async for part in incoming.body])
    except RunnerGoneError:
        raise SmokeError(manifest.name, "its process ended.") from None
    except TimeoutError:
        raise SmokeError(manifest.name, f"none came in {_ANSWER_SECONDS:g} seconds.") from None
    if incoming.status != 200:
        error = EngineError.from_body(incoming.status, json.loads(raw))
        raise SmokeError(manifest.name, error.message)
    if (MODEL_DIGEST.lower().encode(), manifest.sha256.encode()) not in incoming.headers:
        raise SmokeError(manifest.name, "it came from other weights than the manifest promises.")


def _small_request(manifest: ModelManifest) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": manifest.name}
    if "embed" in manifest.capabilities:
        return "/v1/embeddings", body | {"input": "Hello."}
    if "classify" in manifest.capabilities:
        return "/v1/classify", body | {"input": "Hello."}
    body |= {"max_tokens": 1, "temperature": 0}
    if "chat" in manifest.capabilities:
        messages = [{"role": "user", "content": "Hello."}]
        return "/v1/chat/completions", body | {"messages": messages}
    return "/v1/completions", body | {"prompt": "Hello."}
