"""The way of a model into the catalogue: found, copied, checked, tried, and only then listed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

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
from appliance.catalogue.writing import write_manifest
from appliance.engine.budget import planned
from appliance.importing.converting import Folder, check_converter, convert, find_folder
from appliance.importing.copying import check_space, copy
from appliance.importing.errors import NameTakenError, RefusedError, SourceError
from appliance.importing.naming import check_name, name_for
from appliance.importing.publishing import check_free, check_one_disk, publish
from appliance.importing.quantising import WHOLE, quantise, room_for
from appliance.importing.quarantine import Quarantine
from appliance.importing.source import Source, find_parts, whole_file
from appliance.importing.split import join_parts
from appliance.importing.terms import Imported, Place, Teller, Wish
from appliance.importing.trial import try_out

_COMMAND = "cloister model import"


def bring_in(wish: Wish, place: Place, teller: Teller) -> Imported:
    """Bring one model in. It is listed when this returns, and serves nobody yet.

    Raises:
        ImportingError, CatalogueError: why it does not come in. Nothing of it is in the catalogue;
            what was copied waits in quarantine, unless the file was refused.
    """
    folder = find_folder(wish.path)
    if folder is None:
        source = _gguf(wish.path)
        _described(source, wish)  # before anything is copied
        origin, called, size = source.stamps, source.file_name, source.size
    else:
        check_converter(place.converter)
        origin, called, size = folder.stamps, folder.name, folder.weights
    name = wish.name or name_for(called, wish.quantisation)
    check_name(name)
    if name in place.aliases:
        raise NameTakenError(
            f"{name!r} is an alias; no model may have its name. Choose another one with --name."
        )
    quarantine = Quarantine(place.quarantine, name, as_is=wish.quantisation is None)
    check_free(name, place.models, quarantine.weights)
    with quarantine.held(), told(quarantine, teller):
        check_one_disk(place.models, quarantine.folder)
        wanted = max(0, size - quarantine.kept(origin)) + _room_for_quantised(size, wish)
        check_space(quarantine.folder, wanted, place.spare_mib)
        if folder is None:
            with teller.bar(f"Copying {called}", size) as advance:
                sha256 = copy(source, quarantine, advance)
            # What the manifest says is of the bytes that its digest pins.
            source = replace(source, head=read_head(quarantine.copy))
        else:
            source, sha256 = _converted(folder, place, quarantine, teller)
        described = _described(source, wish)
        with or_refused(quarantine, teller, sha256):
            imported = _checked(described, source, sha256, wish, place, quarantine, teller)
        with teller.publishing(imported):
            above = comment(described, imported.manifest, _COMMAND)
            publish(imported.manifest, quarantine.weights, place.models, above)
        quarantine.empty()
    return imported


def _gguf(path: Path) -> Source:
    """The GGUF that a path stands for."""
    file_name, parts = find_parts(path)
    return whole_file(parts[0]) if len(parts) == 1 else join_parts(file_name, parts)


def _room_for_quantised(size: int, wish: Wish) -> int:
    """Bytes that the weights take once more where they are written smaller."""
    return 0 if wish.quantisation is None else room_for(size, wish.quantisation)


def _converted(
    folder: Folder, place: Place, quarantine: Quarantine, teller: Teller
) -> tuple[Source, str]:
    """Have a folder's model written as a GGUF, unless an earlier attempt did; and its SHA-256."""
    target = quarantine.copy
    if not target.exists() or quarantine.kept(folder.stamps) != _size(target):
        with teller.bar(f"Converting {folder.name}", 100) as advance:
            convert(folder, target, check_converter(place.converter), place.log, _steps(advance))
        quarantine.keep(folder.stamps, _size(target))
    with teller.bar("Reading what was converted", _size(target)) as advance:
        sha256 = file_digest(target, advance)
    written = whole_file(target)
    return replace(written, file_name=f"{folder.name}.gguf", stamps=folder.stamps), sha256


def _steps(advance: Callable[[int], object]) -> Callable[[int], None]:
    """Take how much is done in all, for something that wants to know how much more."""
    done = 0

    def progress(now: int) -> None:
        nonlocal done
        advance(now - done)
        done = now

    return progress


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
def told(quarantine: Quarantine, teller: Teller) -> Iterator[None]:
    """Say what stays in quarantine where an import ends early."""
    try:
        yield
    except BaseException:
        if quarantine.copy.exists():
            teller.kept(quarantine.folder, _size(quarantine.copy))
        raise


@contextmanager
def or_refused(quarantine: Quarantine, teller: Teller, sha256: str) -> Iterator[None]:
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
            steps = _steps(advance)
            _quantise(wish.quantisation, place, quarantine, steps)
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
    quantisation: str, place: Place, quarantine: Quarantine, progress: Callable[[int], object]
) -> None:
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
