"""What an import is about: what somebody wants, where it goes, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.catalogue.manifest import ModelManifest
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.options import EngineOptions
from appliance.importing.source import Source


@dataclass(frozen=True)
class Wish:
    """What somebody wants to bring in.

    Args:
        path: a GGUF file, a part of a split one, or a folder with one model or a Hugging Face one.
        name: that it will have; None takes the file's.
        known: name of the known model that it is; None finds out.
        quantisation: that the weights are to be written in; None leaves them.
    """

    path: Path
    name: str | None = None
    known: str | None = None
    quantisation: str | None = None


@dataclass(frozen=True)
class Place:
    """Where it is brought in.

    Args:
        models: folder of the catalogue.
        quarantine: folder of all quarantines.
        run: folder for sockets.
        log: file for what llama.cpp writes.
        spare_mib: MiB of the disk that stay free.
        options: sizes that models are served with.
        free: says how many bytes of memory are left.
        aliases: names that lead to models; none may have one of them.
        converter: folder of llama.cpp's converter, None where there is none.
    """

    models: Path
    quarantine: Path
    run: Path
    log: Path
    spare_mib: int
    options: EngineOptions
    free: Callable[[], int]
    aliases: frozenset[str]
    converter: Path | None = None


class Teller(Protocol):
    """Tells a person how it goes, and the log what happens."""

    def step(self, text: str) -> AbstractContextManager[object]:
        """Something begins that lasts a while."""

    def bar(self, text: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
        """Something begins whose progress is known; what it gives is told each advance."""

    def publishing(self, imported: Imported) -> AbstractContextManager[object]:
        """The model is about to be listed."""

    def refused(self, name: str, sha256: str, reason: str) -> None:
        """The file was refused as one that must not run here."""

    def kept(self, folder: Path, size: int) -> None:
        """The import ends early; so many bytes wait in quarantine."""


@dataclass(frozen=True)
class Imported:
    """A model that has passed.

    Args:
        manifest: its digest is that of the file in the catalogue.
        source: what it came from.
        known: name of the known model that it is, if it is one.
        size: bytes of the weights.
        plan: the memory that it takes when it is served.
    """

    manifest: ModelManifest
    source: Source
    known: str | None
    size: int
    plan: MemoryPlan
