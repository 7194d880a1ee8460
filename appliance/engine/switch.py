"""Moving aliases: to a model that has answered, durably, and never under a request's feet.

An alias is looked up once, when a request arrives, and the request stays with the runner that it
was given to. So a move only has to be right for the requests that come after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from appliance.catalogue.manifest import ModelManifest
from appliance.engine.aliases import Aliases, Target, check_alias_name
from appliance.engine.errors import (
    AliasNotKeptError,
    AliasRefusedError,
    ModelNotReadyError,
    NoRoomError,
    NotActivatedError,
    NotBesideError,
)
from appliance.engine.fleet import Fleet
from appliance.engine.launch import Runner
from appliance.engine.pauses import Pauses
from appliance.engine.smoke import smoke

_LOAD_SECONDS = 900.0
_RETRY_SECONDS = 10
_UNUSED_SECONDS = 600.0  # that a model stays loaded for a move that never comes


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


@dataclass(frozen=True)
class _Present:
    """A model in memory, and the adapter that an alias is to point at, if it is one."""

    manifest: ModelManifest
    runner: Runner
    adapter: ModelManifest | None

    @property
    def target(self) -> ModelManifest:
        """What the alias is to point at."""
        return self.adapter or self.manifest

    @property
    def proof(self) -> tuple[Runner, str]:
        """What has answered, once it has."""
        return self.runner, self.target.sha256


class Switch:
    """Moves aliases between the models of a fleet; one move at a time.

    What an alias points at stays in memory while the next model is loaded, unless it was asked to
    stop that first: then requests for the alias wait until it has moved, or stays.

    Args:
        fleet: the models.
        aliases: that are moved.
        pauses: the aliases whose requests wait for a move.
        on_move: called when an alias points at a model that it did not point at before.
    """

    def __init__(
        self,
        fleet: Fleet,
        aliases: Aliases,
        pauses: Pauses,
        on_move: Callable[[], None] = lambda: None,
    ) -> None:
        """No model has answered yet."""
        self._on_move = on_move
        self._fleet = fleet
        self._aliases = aliases
        self._pauses = pauses
        self._proven: dict[str, tuple[Runner, str]] = {}  # and the digest of what was proved
        self._moving = asyncio.Lock()

    async def prepare(self, alias: str, model: str | None, *, stop_first: bool = False) -> Move:
        """Load the model of a move if it is not loaded, and have it answer a small request.

        Args:
            alias: that is to be moved.
            model: where to; None for where it pointed before.
            stop_first: whether what it points at now may be stopped for it. Requests for the alias
                wait from now until the move is made, or fails, or nobody makes it in a minute.

        Raises:
            AliasRefusedError: the move would be refused.
            UnknownModelError, ModelFailedError, ModelNotReadyError: the model does not run.
            NoRoomError: it does not fit beside models that are never stopped for another.
            NotBesideError: it does not fit beside what the alias points at now.
            SmokeError: it runs, but gives no answer.
        """
        if model is not None:
            self._check_name(alias)
        back = self._aliases.previous(alias) if model is None else None
        if stop_first and alias in self._aliases:
            self._pauses.begin(alias)
        try:
            target = await self._proved_for(alias, back.model if back else str(model))
            if back is not None:
                _check_way_back(alias, back, target)
        except BaseException:
            self._pauses.end(alias)
            raise
        self._pauses.keep(alias, self._fleet.find(target.model).keeper.held())
        asyncio.get_running_loop().call_later(_UNUSED_SECONDS, self._fleet.shelve, target.model)
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
        with self._moved(alias):
            target = await self._target(alias, model, by)
            if sha256 is not None and target.sha256 != sha256:
                raise AliasRefusedError(
                    f"Model {model!r} has other weights by now (SHA-256 {target.sha256[:16]}…,"
                    f" not {sha256[:16]}…); activate it again if that is what you want."
                )
            async with self._moving:
                self._check_name(alias)
                before = self._present(alias)
                await _written(partial(self._aliases.point, alias, target))
        self._on_move()
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
        with self._moved(alias):
            back = self._aliases.previous(alias)
            _check_way_back(alias, back, await self._target(alias, back.model))
            async with self._moving:
                before = self._present(alias)
                if self._aliases.previous(alias) != back or expected not in {None, back.model}:
                    raise AliasRefusedError(
                        f"Alias {alias!r} was moved meanwhile; look and try again."
                    )
                await _written(partial(self._aliases.back, alias))
        self._on_move()
        return Move(alias, back.model, back.sha256, before)

    async def remove(self, alias: str) -> Move:
        """Forget an alias; requests that ask for it get a 404 from now on.

        Raises:
            UnknownAliasError: there is no such alias.
            AliasNotKeptError: it could not be written; the alias is still there.
        """
        async with self._moving:
            targets = self._aliases.targets(alias)
            last = targets[-1]
            await _written(partial(self._aliases.remove, alias))
        for model in {target.model for target in targets}:
            self._fleet.shelve(model)
        return Move(alias, None, None, last.model)

    def _present(self, alias: str) -> str | None:
        return self._aliases.resolve(alias) if alias in self._aliases else None

    def _check_name(self, alias: str) -> None:
        check_alias_name(alias)
        if self._fleet.has_manifest(alias):
            raise AliasRefusedError(
                f"There is a model {alias!r}; an alias must not hide it. Choose another name."
            )

    def _check_base(self, model: str) -> None:
        """Return only if a base answers for itself before an adapter has it answer."""
        found = self._fleet.find(model)
        if found.adapter is not None and self._aliases.hold_back(found.keeper.manifest):
            raise NotActivatedError(found.keeper.name)

    @contextmanager
    def _moved(self, alias: str) -> Iterator[None]:
        """Let requests for the alias go on afterwards, whether it has moved or not."""
        try:
            yield
        finally:
            self._pauses.end(alias)

    @contextmanager
    def _beside(self, alias: str, model: str) -> Iterator[None]:
        """Keep what an alias points at in memory while its next model is loaded.

        Raises:
            NotBesideError: both do not fit.
        """
        name = self._present(alias)
        present = None if name is None or name == model else self._fleet.resident(name)
        if present is None or alias in self._pauses:
            yield
            return
        with present.held():
            try:
                yield
            except NoRoomError as error:
                raise NotBesideError(alias, present.name, model, error.reason) from None

    @asynccontextmanager
    async def _loaded(self, model: str) -> AsyncIterator[_Present]:
        """The model in memory, where it stays meanwhile; of an adapter, its base."""
        if model in self._aliases:
            raise AliasRefusedError(f"{model!r} is an alias itself; name a model.")
        self._check_base(model)
        try:
            # No task of its own, or the model could be stopped between there and here.
            async with asyncio.timeout(_LOAD_SECONDS):
                found = await self._fleet.current(model)
        except TimeoutError:
            raise ModelNotReadyError(model, _RETRY_SECONDS) from None
        keeper = found.keeper
        if keeper.manifest is None:
            raise ModelNotReadyError(model, _RETRY_SECONDS)
        with keeper.held():
            yield _Present(keeper.manifest, keeper.ready(), found.adapter)

    async def _proved_for(self, alias: str, model: str) -> Target:
        """The model as a target, after it has answered a small request."""
        with self._beside(alias, model):
            async with self._loaded(model) as present:
                return await self._prove(present, by="")

    async def _target(self, alias: str, model: str, by: str = "") -> Target:
        """The model as a target; it has answered since it was loaded."""
        with self._beside(alias, model):
            async with self._loaded(model) as present:
                if self._proven.get(model) != present.proof:
                    return await self._prove(present, by)
                return Target.now(model, present.target.sha256, by)

    async def _prove(self, present: _Present, by: str) -> Target:
        target = present.target
        await smoke(present.manifest, present.runner, adapter=present.adapter)
        self._proven[target.name] = present.proof
        return Target.now(target.name, target.sha256, by)


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
