"""Keeps one model running: verifies, starts, restarts with back-off, and knows how it fares."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from appliance.catalogue.digest import check_digest
from appliance.catalogue.errors import CatalogueError, ModelMemoryError
from appliance.catalogue.inspection import inspect
from appliance.catalogue.manifest import ModelManifest, read_manifest
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.budget import MemoryBudget, fits, planned
from appliance.engine.errors import EngineError, ModelFailedError, ModelNotReadyError
from appliance.engine.launch import LoadRefusedError, Runner, RunnerCrashedError, launch
from appliance.engine.options import EngineOptions

_FIRST_DELAY = 0.5  # seconds before the first restart; doubles with every death in a row
_LONGEST_DELAY = 30.0
_STEADY_SECONDS = 60.0  # a runner that lived so long starts the delays anew
_LOAD_CRASHES = 5  # in a row; then the file is to blame
_RETRY_STARTING = 2  # seconds that a client is told to wait
_RETRY_FAILED = 60

_log = logging.getLogger(__name__)
_numbers = itertools.count(1)


class State(StrEnum):
    """How a model fares."""

    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPED = "stopped"
    IMPORTED = "imported"


class Keeper:
    """One model of the catalogue and its runner.

    Args:
        path: of the manifest.
        manifest: as read, or None if it is faulty.
        run_dir: folder for the runner's socket.
        options: sizes.
        budget: of memory, shared with the other models.
        fault: why the manifest is faulty.
        on_ready: called whenever a runner has loaded the model.
    """

    def __init__(
        self,
        path: Path,
        manifest: ModelManifest | None,
        run_dir: Path,
        options: EngineOptions,
        budget: MemoryBudget,
        fault: str | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Start nothing yet."""
        self.name = path.stem
        self.manifest = manifest
        self.state = State.STARTING
        self.error: str | None = fault
        self.runner: Runner | None = None
        self.restarts = 0
        self.created = int(time.time())
        # Numbered, not named: two of one model may run side by side while one takes over.
        self.socket = run_dir / f"runner-{next(_numbers)}.sock"
        self._path = path
        self._options = options
        self._budget = budget
        self._on_ready = on_ready
        self._plan: MemoryPlan | None = None
        self._too_large = False
        self._deaths = 0
        self._load_crashes = 0
        self._retry_at = 0.0
        self._seen: tuple[object, ...] = ()
        self._changed = asyncio.Event()
        self._turned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the model running."""
        self._task = asyncio.create_task(self._keep(), name=f"keeper-{self.name}")

    def rest(self) -> None:
        """Wait to be started: nobody may ask the model for anything yet."""
        self._turn(State.IMPORTED)

    async def stop(self) -> None:
        """End the runner and stop keeping it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self.runner is not None:
            await self.runner.stop()
            self.runner = None
        self._budget.release(self.socket)
        self._turn(State.STOPPED)
        self.socket.unlink(missing_ok=True)

    def ready(self) -> Runner:
        """The runner, if it can take requests now.

        Raises:
            ModelNotReadyError: it is being started or restarted.
            ModelFailedError: it can not be started as the files are.
        """
        if self.runner is not None and self.state is State.READY:
            return self.runner
        self.look_again()
        raise self._why_not()

    async def settled(self) -> Runner:
        """The runner, once the model is loaded.

        Raises:
            ModelFailedError: it can not be loaded as the files are.
            ModelNotReadyError: it was stopped meanwhile.
        """
        while self.state in {State.STARTING, State.BACKOFF}:
            await self._turned.wait()
        if self.runner is None or self.state is not State.READY:
            raise self._why_not()
        return self.runner

    def look_again(self) -> None:
        """Try a failed model again if its files have changed since, or there is memory now."""
        if self.state is State.FAILED and (self._signature() != self._seen or self._has_room()):
            self.try_again()

    def try_again(self) -> None:
        """Try a failed model again, or start one that rests."""
        if self.state is State.IMPORTED:
            self._turn(State.STARTING)
            self.start()
        if self.state is State.FAILED:
            self._turn(State.STARTING)
            self._changed.set()

    def retry_after(self) -> int:
        """Whole seconds after which the model may be ready."""
        return max(_RETRY_STARTING, int(self._retry_at - time.monotonic()) + 1)

    def _why_not(self) -> EngineError:
        if self.state is State.FAILED:
            return ModelFailedError(self.name, self.error or "unknown", _RETRY_FAILED)
        return ModelNotReadyError(self.name, self.retry_after())

    def _turn(self, state: State, error: str | None = None) -> None:
        self.state, self.error = state, error
        self._turned.set()
        self._turned = asyncio.Event()

    async def _keep(self) -> None:
        while True:
            self._turn(State.STARTING, self.error)
            self._seen = await asyncio.to_thread(self._signature)
            try:
                self.runner = await self._load()
            except ModelMemoryError as error:
                self._too_large = True
                await self._fail(str(error))
            except (CatalogueError, LoadRefusedError) as error:
                await self._fail(str(error))
            except RunnerCrashedError as error:
                await self._load_crashed(str(error))
            except OSError as error:
                await self._back_off(f"its process can not be started ({error.strerror})")
            else:
                await self._watch(self.runner)

    async def _load(self) -> Runner:
        self.manifest = await asyncio.to_thread(read_manifest, self._path)
        models = self._path.parent
        await asyncio.to_thread(check_digest, self.manifest, models)
        facts = await asyncio.to_thread(inspect, self.manifest, models)
        self._plan = planned(facts, self.manifest.context, self._options)
        await self._budget.reserve(self.socket, self.name, self._plan, self._options)
        runner = await launch(self._path, self.socket, self._options)
        self._budget.loaded(self.socket)
        return runner

    async def _watch(self, runner: Runner) -> None:
        self._turn(State.READY)
        self._on_ready()
        self._load_crashes = 0
        began = time.monotonic()
        _log.info("model %s is ready", self.name)
        how = await runner.ended()
        self.runner = None
        if time.monotonic() - began > _STEADY_SECONDS:
            self._deaths = 0
        await self._back_off(f"its process {how}")

    async def _load_crashed(self, reason: str) -> None:
        self._load_crashes += 1
        if self._load_crashes < _LOAD_CRASHES:
            await self._back_off(reason)
        else:
            self._load_crashes = 0
            await self._fail(f"{reason}, {_LOAD_CRASHES} times in a row; the file is damaged")

    async def _back_off(self, reason: str) -> None:
        self._budget.release(self.socket)
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2**self._deaths)
        self._deaths += 1
        self.restarts += 1
        self._turn(State.BACKOFF, f"{reason}; next start in {delay:g} s")
        self._retry_at = time.monotonic() + delay
        _log.warning("model %s: %s", self.name, self.error)
        await asyncio.sleep(delay)

    async def _fail(self, reason: str) -> None:
        """Wait until somebody asks for the model after what is wrong has changed."""
        self._budget.release(self.socket)
        self._turn(State.FAILED, reason)
        _log.error("model %s: %s", self.name, reason)
        self._changed.clear()
        await self._changed.wait()
        self._too_large = False

    def _has_room(self) -> bool:
        """Whether a model that was too large for the machine's free memory would fit now."""
        return self._too_large and self._plan is not None and fits(self._plan, self._budget.free())

    def _signature(self) -> tuple[object, ...]:
        """Changes when the manifest or the weights do."""
        paths = [self._path]
        if self.manifest is not None:
            paths.append(self.manifest.weights(self._path.parent))
        return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
