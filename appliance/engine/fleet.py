"""The models of the folder and their keepers, as the folder is now.

A manifest may be added, changed or removed while the engine runs. A changed one gets a runner of
its own beside the old one, which answers until the new one is loaded, and is stopped when its last
request has ended. If the new one can not be loaded, the old one stays. Those that have no room rest
until somebody asks for them; appliance.engine.residents decides who gives way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.catalogue.errors import ManifestError
from appliance.catalogue.folder import file_size
from appliance.catalogue.manifest import ModelManifest, read_manifest
from appliance.engine.errors import EngineError, ModelFailedError, UnknownModelError
from appliance.engine.flights import Flights
from appliance.engine.identity import Chosen
from appliance.engine.keeper import Keeper, State
from appliance.engine.options import EngineOptions
from appliance.engine.residents import Residents

_RETRY_FAILED = 60  # seconds
_Stamp = tuple[int, int, int]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answerer:
    """Who answers a name.

    Args:
        keeper: of the model.
        adapter: manifest of the adapter that the model answers with, None where it answers as is.
    """

    keeper: Keeper
    adapter: ModelManifest | None = None

    @property
    def header(self) -> str | None:
        """What the runner has to be told."""
        if self.adapter is None:
            return None
        return Chosen(self.adapter.name, self.adapter.sha256).header()


class Fleet:
    """All models of a folder.

    Args:
        folder: of the manifests.
        run_dir: for the runners' sockets.
        options: sizes of each runner.
        residents: decides which models are in memory.
        flights: the requests under way, for stopping no runner that still answers.
        is_alias: whether a name is an alias's; a model of that name is left out.
        is_held_back: whether a model may not be asked for anything yet; none such starts by itself.
        rank: of a model's name; those of the lowest get their room first when all start together.
        on_ready: called whenever a model has been loaded that answers requests from now on.
    """

    def __init__(
        self,
        folder: Path,
        run_dir: Path,
        options: EngineOptions,
        residents: Residents,
        flights: Flights,
        is_alias: Callable[[str], bool],
        is_held_back: Callable[[ModelManifest | None], bool],
        rank: Callable[[str], int],
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Know no model yet."""
        self._folder = folder
        self._run_dir = run_dir
        self._options = options
        self._residents = residents
        self._flights = flights
        self._is_alias = is_alias
        self._is_held_back = is_held_back
        self._rank = rank
        self._on_ready = on_ready
        self._keepers: dict[str, Keeper] = {}
        self._adapters: dict[str, ModelManifest] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._folder_stamp = 0
        self._left_out: set[str] = set()
        self._heirs: dict[str, tuple[Keeper, asyncio.Task[None]]] = {}
        self._aside: dict[Keeper, asyncio.Task[None]] = {}  # they answer nothing new, and end

    def keepers(self) -> list[Keeper]:
        """Every model by name."""
        return [self._keepers[name] for name in sorted(self._keepers)]

    def adapters(self) -> list[ModelManifest]:
        """Every adapter by name."""
        return [self._adapters[name] for name in sorted(self._adapters)]

    def base_of(self, name: str) -> str:
        """The model that answers a name: of an adapter, its base."""
        adapter = self._adapters.get(name)
        return name if adapter is None or adapter.base is None else adapter.base

    def find(self, name: str) -> Answerer:
        """Who answers a name; looks into the folder if it has changed or the name is unknown.

        Raises:
            UnknownModelError: no manifest has this name.
            ModelFailedError: it is an adapter, and its base is not here.
        """
        known = name in self._keepers or name in self._adapters
        if not known or _folder_stamp(self._folder) != self._folder_stamp:
            self.look()
        adapter, base = self._adapters.get(name), self.base_of(name)
        keeper = self._keepers.get(base)
        if keeper is not None:
            return Answerer(keeper, adapter)
        if adapter is None:
            raise UnknownModelError(name)
        raise ModelFailedError(
            name,
            f"it is an adapter for the model {base!r}, which is not here; bring that in.",
            _RETRY_FAILED,
        )

    def resident(self, name: str) -> Keeper | None:
        """The keeper that answers a name, if its model is in memory."""
        keeper = self._keepers.get(self.base_of(name))
        return keeper if keeper is not None and keeper.is_ready else None

    def has_manifest(self, name: str) -> bool:
        """Whether the folder has a manifest of this name, good or bad."""
        return (self._folder / f"{name}.toml").exists()

    async def current(self, name: str) -> Answerer:
        """Who answers a name, as the manifests are now, loaded or failed.

        Raises:
            UnknownModelError: no manifest has this name.
            ModelFailedError: it can not be loaded as the files are.
            NoRoomError: it has no room beside models that are not stopped for it.
            ModelNotReadyError: it was removed meanwhile.
        """
        self.look()
        keeper = self.find(name).keeper
        keeper.try_again()
        if keeper.error and keeper.state is State.READY:
            self._renew(keeper.name)
        if keeper.name in self._heirs:
            heir, task = self._heirs[keeper.name]
            with heir.held(), heir.wanted():
                await asyncio.wait({task})
            keeper = self.find(name).keeper
        with keeper.held(), keeper.wanted():
            await keeper.settled()
        if keeper.error:
            raise ModelFailedError(keeper.name, keeper.error, _RETRY_FAILED)
        return Answerer(keeper, self._adapters.get(name))

    def look(self) -> None:
        """Notice what has changed in the folder; costs one stat(2) a manifest."""
        self._folder_stamp = _folder_stamp(self._folder)
        try:
            found = _stamps(self._folder)
        except OSError as error:
            # A folder that is away for a while is no reason to stop what was loaded from it.
            _log.warning("the models folder can not be read (%s); all stays as it is", error)
            return
        stamps = {name: stamp for name, stamp in found.items() if self._may_serve(name)}
        for name in self._keepers.keys() - stamps.keys():
            _log.info("model %s was removed", name)
            self._disinherit(name)
            self._retire(self._keepers.pop(name))
        for name in self._adapters.keys() - stamps.keys():
            _log.info("adapter %s was removed", name)
            del self._adapters[name]
        for name in sorted(stamps, key=lambda name: (self._rank(name), name)):
            if self._stamps.get(name) != stamps[name]:
                self._renew(name)
        self._stamps = stamps

    def shelve(self, name: str) -> None:
        """End the runner of a model that nobody may ask any more, after its last request."""
        keeper = self._keepers.get(name)
        if keeper and keeper.state is not State.IMPORTED and self._is_held_back(keeper.manifest):
            self._disinherit(name)
            self._retire(self._keepers.pop(name))
            self._renew(name)

    async def stop(self) -> None:
        """End all runners."""
        heirs = list(self._heirs.values())
        keepers = [*self._keepers.values(), *self._aside, *(keeper for keeper, _ in heirs)]
        tasks = [*self._aside.values(), *(task for _, task in heirs)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(keeper.stop() for keeper in keepers))

    def _may_serve(self, name: str) -> bool:
        if not self._is_alias(name):
            self._left_out.discard(name)
            return True
        if name not in self._left_out:
            self._left_out.add(name)
            _log.warning("model %s is left out: an alias has its name", name)
        return False

    def _renew(self, name: str) -> None:
        """Keep a model as its manifest is now."""
        path = self._folder / f"{name}.toml"
        manifest, fault = _read(path)
        if manifest is not None and manifest.base is not None:
            self._renew_adapter(manifest)
            return
        self._adapters.pop(name, None)
        new = Keeper(
            path,
            manifest,
            self._run_dir,
            self._options,
            self._residents,
            fault,
            self._on_ready,
            self._adapter_bytes,
        )
        self._disinherit(name)
        old = self._keepers.get(name)
        if old is None or old.state is not State.READY:
            self._keepers[name] = new
            if fault is None and self._is_held_back(manifest):
                new.shelve()
            else:
                new.start()
            if old is not None:
                self._retire(old)
        elif manifest is None:
            _stay(old, fault or "its manifest can not be read")
        elif manifest == old.manifest:
            old.error = None
        else:
            self._heirs[name] = new, asyncio.create_task(self._inherit(old, new))

    def _renew_adapter(self, manifest: ModelManifest) -> None:
        """Know an adapter as its manifest is now; its base looks at its file when it is asked."""
        self._adapters[manifest.name] = manifest
        if manifest.name in self._keepers:  # it was a model, or none at all, before
            self._disinherit(manifest.name)
            self._retire(self._keepers.pop(manifest.name))

    def _adapter_bytes(self, base: str) -> int:
        """Bytes that the adapters of a model may take beside it."""
        own = [each for each in self._adapters.values() if each.base == base]
        return sum(file_size(each.weights(self._folder)) for each in own)

    async def _inherit(self, old: Keeper, new: Keeper) -> None:
        """Let `new` take over once it is loaded; where it can not be, `old` goes on."""
        new.may_rest = False
        new.start()
        try:
            # The old one goes on answering for as long as the new one is not there.
            with old.held():
                await new.settled()
        except EngineError as error:
            _stay(old, new.error or error.message)
            self._retire(new)
        else:
            new.may_rest = True
            self._keepers[new.name] = new
            self._retire(old)
            self._on_ready()
        del self._heirs[new.name]

    def _disinherit(self, name: str) -> None:
        """Stop the runner that was about to take over; the manifest has changed once more."""
        if name in self._heirs:
            keeper, task = self._heirs.pop(name)
            task.cancel()
            self._retire(keeper)

    def _retire(self, keeper: Keeper) -> None:
        self._aside[keeper] = asyncio.create_task(self._drain(keeper))

    async def _drain(self, keeper: Keeper) -> None:
        """End a runner after its last request."""
        await self._flights.drained(keeper.socket)
        await keeper.stop()
        self._flights.forget(keeper.socket)
        del self._aside[keeper]


def _stay(keeper: Keeper, why: str) -> None:
    keeper.error = f"its changed manifest is not in effect: {why}"
    _log.error("model %s runs as before; %s", keeper.name, keeper.error)


def _read(path: Path) -> tuple[ModelManifest | None, str | None]:
    try:
        return read_manifest(path), None
    except ManifestError as error:
        return None, str(error)


def _folder_stamp(folder: Path) -> int:
    """Changes when a file of the folder is added, removed or renamed."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _stamps(folder: Path) -> dict[str, _Stamp]:
    """Every manifest of the folder by its model, with what changes whenever it is written."""
    found: dict[str, _Stamp] = {}
    for path in folder.iterdir():
        if path.suffix == ".toml":
            with suppress(FileNotFoundError):
                stat = path.stat()
                found[path.stem] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found
