"""The way of a model into the catalogue: found, copied, checked, tried, and only then listed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from appliance.catalogue.digest import file_digest
from appliance.catalogue.errors import GgufError, InspectionError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.inspection import inspect
from appliance.catalogue.known.description import (
    Description,
    check_servable,
    comment,
    describe,
    make_manifest,
)
from appliance.catalogue.known.head import read_head
from appliance.catalogue.known.library import known_model
from appliance.catalogue.known.matching import resembling
from appliance.catalogue.manifest import ModelManifest
from appliance.catalogue.memory import MemoryPlan
from appliance.catalogue.writing import write_manifest
from appliance.engine.budget import planned
from appliance.engine.options import EngineOptions
from appliance.importing.copying import check_space, copy
from appliance.importing.errors import NameTakenError, RefusedError, SourceError
from appliance.importing.publishing import check_free, check_one_disk, publish
from appliance.importing.quantising import WHOLE, quantise, room_for
from appliance.importing.quarantine import Quarantine
from appliance.importing.source import Source, find_parts, whole_file
from appliance.importing.split import join_parts
from appliance.importing.trial import try_out

_COMMAND = "cloister model import"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Wish:
    """What somebody wants to bring in.

    Args:
        path: a GGUF file, a part of a split one, or a folder with one model.
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
    """

    models: Path
    quarantine: Path
    run: Path
    log: Path
    spare_mib: int
    options: EngineOptions
    free: Callable[[], int]
    aliases: frozenset[str]


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


def bring_in(wish: Wish, place: Place, teller: Teller) -> Imported:
    """Bring one model in. It is listed when this returns, and serves nobody yet.

    Raises:
        ImportingError, CatalogueError: why it does not come in. Nothing of it is in the catalogue;
            what was copied waits in quarantine, unless the file was refused.
    """
    file_name, parts = find_parts(wish.path)
    source = whole_file(parts[0]) if len(parts) == 1 else join_parts(file_name, parts)
    described = _described(source, wish)
    name = wish.name or name_for(file_name, wish.quantisation)
    check_name(name)
    if name in place.aliases:
        raise NameTakenError(
            f"{name!r} is an alias; no model may have its name. Choose another one with --name."
        )
    quarantine = Quarantine(place.quarantine, name, as_is=wish.quantisation is None)
    check_free(name, place.models, quarantine.weights)
    with quarantine.held(), _told(quarantine, teller):
        check_one_disk(place.models, quarantine.folder)
        wanted = source.size - quarantine.kept(source)
        if wish.quantisation is not None:
            wanted += room_for(described.head.parameters, wish.quantisation)
        check_space(quarantine.folder, wanted, place.spare_mib)
        with teller.bar(f"Copying {source.file_name}", source.size) as advance:
            sha256 = copy(source, quarantine, advance)
        with _or_refused(quarantine, teller, sha256):
            imported = _checked(described, source, sha256, wish, place, quarantine, teller)
        with teller.publishing(imported):
            told = comment(described, imported.manifest, _COMMAND)
            publish(imported.manifest, quarantine.weights, place.models, told)
        quarantine.empty()
    return imported


def name_for(file_name: str, quantisation: str | None = None) -> str:
    """A model's name, from its file's; empty where nothing of that can be in a name."""
    stem = re.sub(r"\.gguf$", "", file_name.lower())
    if quantisation is not None:
        stem = re.sub(r"[-._](?:f32|f16|fp16|bf16)$", "", stem) + f"-{quantisation.lower()}"
    return re.sub(r"^[^a-z0-9]+", "", re.sub(r"[^a-z0-9._-]+", "-", stem))[:63].rstrip("-")


def check_name(name: str) -> None:
    """Return only if a model may have this name.

    Raises:
        SourceError: it may not.
    """
    if not _NAME.fullmatch(name):
        raise SourceError(
            f"{name[:80]!r} can be no model's name: 1 to 63 small letters, digits or . _ -, and the"
            " first a letter or a digit. Give one with --name."
        )


def _described(source: Source, wish: Wish) -> Description:
    """What the file is, once it is known that it can be served."""
    file_name = source.file_name
    described = describe(source.head, file_name)
    if wish.known is not None:
        model = known_model(wish.known)
        if model not in resembling(source.head.metadata):
            raise SourceError(
                f"{file_name} has not the shape of {wish.known!r}, so it is neither that model nor"
                " made from it. Leave --known out, or see: cloister model known"
            )
        described = replace(described, known=model)
    check_servable(described)
    smaller = set(source.formats) - WHOLE
    if wish.quantisation is not None and smaller:
        raise SourceError(
            f"{file_name} is quantised already ({', '.join(sorted(smaller))}); only F32, F16 and"
            f" BF16 can be written as {wish.quantisation}. Import it without --quantise."
        )
    return described


@contextmanager
def _told(quarantine: Quarantine, teller: Teller) -> Iterator[None]:
    """Say what stays in quarantine where an import ends early."""
    try:
        yield
    except BaseException:
        if quarantine.copy.exists():
            teller.kept(quarantine.folder, _size(quarantine.copy))
        raise


@contextmanager
def _or_refused(quarantine: Quarantine, teller: Teller, sha256: str) -> Iterator[None]:
    """Delete what must not run here, and have that recorded."""
    try:
        yield
    except (GgufError, InspectionError, RefusedError) as error:
        quarantine.empty()
        teller.refused(quarantine.name, sha256, type(error).__name__)
        raise RefusedError(f"{error} It was refused, and the copy deleted.") from error


def _checked(
    described: Description,
    source: Source,
    sha256: str,
    wish: Wish,
    place: Place,
    quarantine: Quarantine,
    teller: Teller,
) -> Imported:
    """Everything that is to be known before a model is listed."""
    with teller.step("Checking its structure"):
        facts = inspect(_manifest(described, sha256, quarantine.copy), quarantine.folder)
    if wish.quantisation is not None:
        with teller.bar(f"Writing it as {wish.quantisation}", len(source.formats)) as advance:
            _quantise(wish.quantisation, place, quarantine, advance)
        with teller.bar("Reading what was written", _size(quarantine.weights)) as advance:
            sha256 = file_digest(quarantine.weights, advance)
        described = replace(described, head=read_head(quarantine.weights))
        facts = inspect(_manifest(described, sha256, quarantine.weights), quarantine.folder)
    manifest = _manifest(described, sha256, quarantine.weights, facts)
    with teller.step("Trying it out"):
        _try(manifest, facts, place, quarantine)
    return Imported(
        manifest=manifest,
        source=source,
        known=described.known.name if described.known else None,
        size=_size(quarantine.weights),
        plan=planned(facts, manifest.context, place.options),
    )


def _manifest(
    described: Description, sha256: str, file: Path, facts: ModelFacts | None = None
) -> ModelManifest:
    made = make_manifest(described, file.parent.name, PurePosixPath(file.name), sha256)
    changes: dict[str, object] = {"held": True}
    if facts is not None and made.quantisation == "unknown":
        changes["quantisation"] = facts.quantisations[0]
    return made.model_copy(update=changes)


def _quantise(
    quantisation: str, place: Place, quarantine: Quarantine, advance: Callable[[int], object]
) -> None:
    done = 0

    def progress(now: int) -> None:
        nonlocal done
        advance(now - done)
        done = now

    threads = place.options.threads
    quantise(quarantine.copy, quarantine.weights, quantisation, threads, place.log, progress)


def _try(manifest: ModelManifest, facts: ModelFacts, place: Place, quarantine: Quarantine) -> None:
    file = quarantine.folder / f"{manifest.name}.toml"
    file.unlink(missing_ok=True)
    write_manifest(manifest, quarantine.folder)
    # Short, since a socket's path holds 107 bytes.
    socket = place.run / f"trial-{os.getpid()}.sock"
    try_out(file, facts, place.options, place.free, socket, place.log)


def _size(file: Path) -> int:
    return file.stat().st_size
