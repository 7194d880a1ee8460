"""Keeps one model running: verifies, starts, restarts with back-off, and knows how it fares."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from appliance.catalogue.digest import check_digest
from appliance.catalogue.errors import CatalogueError, ModelMemoryError
from appliance.catalogue.inspection import inspect
from appliance.catalogue.manifest import ModelManifest, read_manifest
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.budget import planned
from appliance.engine.errors import (
    EngineError,
    ModelFailedError,
    ModelNotReadyError,
    NoRoomError,
)
from appliance.engine.launch import LoadRefusedError, Runner, RunnerCrashedError, launch
from appliance.engine.options import EngineOptions
from appliance.engine.residents import CrowdedError, Residents

_FIRST_DELAY = 0.5  # seconds before the first restart; doubles with every death in a row
_LONGEST_DELAY = 30.0
_STEADY_SECONDS = 60.0  # a runner that lived so long starts the delays anew
_LOAD_CRASHES = 5  # in a row; then the file is to blame
_RETRY_STARTING = 2  # seconds that a client is told to wait
_RETRY_FAILED = 60
_RETRY_CROWDED = 5

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
        residents: the models in memory, this one among them when it is loaded.
        fault: why the manifest is faulty.
        on_ready: called whenever a runner has loaded the model.
        adapter_bytes: says how much the adapters of a model may take beside it.
    """

    def __init__(
        self,
        path: Path,
        manifest: ModelManifest | None,
        run_dir: Path,
        options: EngineOptions,
        residents: Residents,
        fault: str | None = None,
        on_ready: Callable[[], None] = lambda: None,
        adapter_bytes: Callable[[str], int] = lambda _name: 0,
    ) -> None:
        """Start nothing yet."""
        self.name = path.stem
        self.manifest = manifest
        self.state = State.STARTING
        self.error: str | None = fault
        self.runner: Runner | None = None
        self.restarts = 0
        self.created = int(time.time())
        self.closed = False  # takes nothing new, so that another model gets its room
        self.may_rest = True  # without a runner until somebody asks; else that is a failure
        self.loaded_at = self.load_seconds = 0.0
        # Numbered, not named: two of one model may run side by side while one takes over.
        self.socket = run_dir / f"runner-{next(_numbers)}.sock"
        self._path = path
        self._options = options
        self._residents = residents
        self._on_ready = on_ready
        self._adapter_bytes = adapter_bytes
        self._plan: MemoryPlan | None = None
        self._too_large = False
        self._deaths = 0
        self._load_crashes = 0
        self._retry_at = 0.0
        self._seen: tuple[object, ...] = ()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._wanted = 0
        self._holds = 0
        self._parked = False  # its runner was told to end
        self._ended = False
        self._crowd: str | None = None  # why it got no room, where it was asked for

    @property
    def is_ready(self) -> bool:
        """Whether the runner is up and was not told to end."""
        return self.state is State.READY and not self._ended

    @property
    def takes_requests(self) -> bool:
        """Whether a request can be handed to the runner now."""
        return self.is_ready and not self.closed

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits until the model is loaded."""
        return self._wanted > 0

    @property
    def is_held(self) -> bool:
        """Whether the model takes part in a switch, and so must not be stopped for another."""
        return self._holds > 0

    @property
    def waiting(self) -> int:
        """Requests that wait until the model is loaded."""
        return self._wanted

    @property
    def held_bytes(self) -> int:
        """Memory that the model holds by its plan; 0 where it is not in memory."""
        return self._residents.planned(self)

    def start(self) -> None:
        """Begin to keep the model running; it rests where there is no room for it."""
        self._residents.expect(self)
        self._task = asyncio.create_task(self._keep(), name=f"keeper-{self.name}")

    def shelve(self) -> None:
        """Wait to be started: nobody may ask the model for anything yet."""
        self._turn(State.IMPORTED)

    async def stop(self) -> None:
        """End the runner and stop keeping it."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self.runner is not None:
            await self.runner.stop()
            self.runner = None
        self._residents.decided(self)
        self._residents.left(self)
        self._turn(State.STOPPED)
        self.socket.unlink(missing_ok=True)

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Have the model loaded, and room be made for it, while somebody waits for it."""
        self._wanted += 1
        self.look_again()
        self._wake()
        try:
            yield
        finally:
            self._wanted -= 1
            if not self._wanted:
                self._residents.signal.tell()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the model from being stopped for another while it is being switched."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._residents.signal.tell()

    async def park(self) -> None:
        """End the runner until somebody asks for the model again; it must be idle."""
        self._parked = True
        self._turn(State.STOPPED)
        if self.runner is not None:
            await self.runner.stop()
        self._residents.left(self)

    def ready(self) -> Runner:
        """The runner, if it is up.

        Raises:
            EngineError: as in `check`, or the model is being loaded.
        """
        if self.runner is not None and self.is_ready:
            return self.runner
        self.check()
        raise ModelNotReadyError(self.name, self.retry_after())

    def check(self) -> None:
        """Return only if the model may be ready soon.

        Raises:
            ModelNotReadyError: its process has ended and is started again only after a pause.
            ModelFailedError: it can not be started as the files are.
            NoRoomError: it is not loaded, and others are not stopped for it.
        """
        if self.state is State.FAILED:
            raise ModelFailedError(self.name, self.error or "unknown", _RETRY_FAILED)
        if self.state is State.BACKOFF:
            raise ModelNotReadyError(self.name, self.retry_after())
        if self.state is State.STOPPED and self._crowd is not None:
            raise NoRoomError(self.name, self._crowd, _RETRY_CROWDED)

    def too_late(self) -> EngineError:
        """What to tell somebody who has waited for long enough."""
        if self.state is State.STARTING and not self.held_bytes:
            why = "all models that are loaded are answering"
            return NoRoomError(self.name, f"it is {self.state}, and {why}.", _RETRY_CROWDED)
        if self.closed:
            why = f"it is {self.state}, but gives way to another model that was asked for."
            return NoRoomError(self.name, why, _RETRY_CROWDED)
        return ModelNotReadyError(self.name, self.retry_after())

    async def settled(self) -> Runner:
        """The runner, once the model is loaded.

        Raises:
            ModelFailedError: it can not be loaded as the files are.
            NoRoomError: others are not stopped for it.
            ModelNotReadyError: it was stopped meanwhile.
        """
        while self.state in {State.STARTING, State.BACKOFF}:
            await self._residents.signal.next()
        return self.ready()

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

    def _wake(self) -> None:
        """Start a model that rests."""
        if self.state is State.STOPPED and not self._ended:
            self._crowd = None
            self._turn(State.STARTING)
            self._changed.set()

    def _turn(self, state: State, error: str | None = None) -> None:
        self.state, self.error = state, error
        self._residents.signal.tell()

    async def _keep(self) -> None:
        while True:
            self._turn(State.STARTING, self.error)
            self._seen = await asyncio.to_thread(self._signature)
            try:
                self.runner = await self._load()
            except CrowdedError as error:
                await self._rest(str(error))
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
        try:
            self._plan = await self._planned()
            await self._residents.admit(self, self._plan, self._options)
        finally:
            self._residents.decided(self)
        began = time.monotonic()
        runner = await launch(self._path, self.socket, self._options)
        self.loaded_at = time.monotonic()
        self.load_seconds = self.loaded_at - began
        self.closed = False
        self._residents.loaded(self)
        return runner

    async def _planned(self) -> MemoryPlan:
        """The memory that the model takes, after its files were checked."""
        self.manifest = await asyncio.to_thread(read_manifest, self._path)
        models = self._path.parent
        await asyncio.to_thread(check_digest, self.manifest, models)
        facts = await asyncio.to_thread(inspect, self.manifest, models)
        beside = self._adapter_bytes(self.name)
        return planned(facts, self.manifest.context, self._options, beside)

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
        if self._parked:
            await self._rest()
        else:
            await self._back_off(f"its process {how}")

    async def _rest(self, crowd: str | None = None) -> None:
        """Wait, without a runner, until somebody asks for the model; `crowd` says why it must."""
        self._parked = False
        self._residents.left(self)
        if crowd is not None and not self.may_rest:
            await self._fail(crowd)
        elif crowd is not None or not self.is_wanted:
            self._crowd = crowd if self.is_wanted else None
            self._changed.clear()
            self._turn(State.STOPPED)
            await self._changed.wait()

    async def _load_crashed(self, reason: str) -> None:
        self._load_crashes += 1
        if self._load_crashes < _LOAD_CRASHES:
            await self._back_off(reason)
        else:
            self._load_crashes = 0
            await self._fail(f"{reason}, {_LOAD_CRASHES} times in a row; the file is damaged")

    async def _back_off(self, reason: str) -> None:
        self._residents.left(self)
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2**self._deaths)
        self._deaths += 1
        self.restarts += 1
        self._turn(State.BACKOFF, f"{reason}; next start in {delay:g} s")
        self._retry_at = time.monotonic() + delay
        _log.warning("model %s: %s", self.name, self.error)
        await asyncio.sleep(delay)

    async def _fail(self, reason: str) -> None:
        """Wait until somebody asks for the model after what is wrong has changed."""
        self._residents.left(self)
        self._turn(State.FAILED, reason)
        _log.error("model %s: %s", self.name, reason)
        self._changed.clear()
        await self._changed.wait()
        self._too_large = False

    def _has_room(self) -> bool:
        """Whether a model that was too large for this machine would fit now."""
        return self._too_large and self._plan is not None and self._residents.could_hold(self._plan)

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
