"""The way of a LoRA adapter into the catalogue: as a model's, beside the base that it changes."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from appliance.catalogue.adapter import AdapterFacts
from appliance.catalogue.folder import file_size, read_catalogue
from appliance.catalogue.inspection import inspect, inspect_adapter
from appliance.catalogue.known.description import describe
from appliance.catalogue.known.head import read_head
from appliance.catalogue.manifest import ModelManifest
from appliance.catalogue.memory import MemoryPlan
from appliance.catalogue.writing import write_manifest
from appliance.importing.bringing import or_refused, told
from appliance.importing.copying import check_space, copy
from appliance.importing.errors import NameTakenError, SourceError
from appliance.importing.naming import check_name, name_for
from appliance.importing.publishing import check_free, check_one_disk, publish
from appliance.importing.quarantine import Quarantine
from appliance.importing.source import whole_file
from appliance.importing.terms import Imported, Place, Teller, Wish
from appliance.importing.trial import try_out

_PEFT = "adapter_config.json"
_COMMENT = """Written by `cloister model import --base`, from what the file says of itself.
Correct the licence where it is wrong."""


def bring_adapter(wish: Wish, base: str, place: Place, teller: Teller) -> Imported:
    """Bring one adapter in. It is listed when this returns, and serves nobody yet.

    Args:
        wish: what is brought in.
        base: name of the model that it is for.
        place: where it is brought in.
        teller: tells how it goes.

    Raises:
        ImportingError, CatalogueError: why it does not come in. Nothing of it is in the catalogue;
            what was copied waits in quarantine, unless the file was refused.
    """
    own = _base(base, place.models)
    _check_file(wish.path)
    source = whole_file(wish.path)
    name = wish.name or name_for(source.file_name)
    check_name(name)
    if name in place.aliases:
        raise NameTakenError(
            f"{name!r} is an alias; no model may have its name. Choose another one with --name."
        )
    quarantine = Quarantine(place.quarantine, name)
    check_free(name, place.models, quarantine.weights)
    with quarantine.held(), told(quarantine, teller):
        check_one_disk(place.models, quarantine.folder)
        wanted = max(0, source.size - quarantine.kept(source.stamps))
        check_space(quarantine.folder, wanted, place.spare_mib)
        with teller.bar(f"Copying {source.file_name}", source.size) as advance:
            sha256 = copy(source, quarantine, advance)
        with or_refused(quarantine, teller, sha256):
            with teller.step(f"Checking that it fits {base}"):
                facts = inspect_adapter(quarantine.weights, own.weights(place.models))
            manifest = _manifest(quarantine, source.file_name, sha256, own, facts)
            with teller.step(f"Trying it out with {base}"):
                _try(manifest, own, place, quarantine)
        size = file_size(quarantine.weights)
        imported = Imported(manifest, source, None, size, MemoryPlan(0, 0, 0, 0, runner=size))
        with teller.publishing(imported):
            publish(manifest, quarantine.weights, place.models, _COMMENT)
        quarantine.empty()
    return imported


def _base(name: str, models: Path) -> ModelManifest:
    """The manifest of a model that may have adapters."""
    manifests = read_catalogue(models).manifests
    found = manifests.get(name)
    if found is None:
        raise SourceError(
            f"There is no model {name!r} here that an adapter could be for; bring it in first. See:"
            " cloister model list"
        )
    if found.base is not None:
        raise SourceError(f"{name!r} is an adapter itself; name its base, {found.base!r}.")
    return found


def _check_file(path: Path) -> None:
    """Return only if the path may be an adapter in GGUF.

    Raises:
        SourceError: it is a folder.
    """
    if not path.is_dir():
        return
    if (path / _PEFT).is_file():
        raise SourceError(
            f"{path} is an adapter as PEFT writes it. Convert it where its base model's Hugging"
            " Face folder is, with llama.cpp's converter: python convert_lora_to_gguf.py --base"
            f" FOLDER_OF_THE_BASE {path.name}; then import the GGUF that it writes."
        )
    raise SourceError(f"{path} is a folder. Name the adapter's GGUF file.")


def _manifest(
    quarantine: Quarantine, file_name: str, sha256: str, base: ModelManifest, facts: AdapterFacts
) -> ModelManifest:
    described = describe(read_head(quarantine.weights), file_name)
    return ModelManifest(
        name=quarantine.name,
        title=described.title,
        family=facts.architecture,
        parameters=facts.parameters,
        licence=described.licence,
        file=str(PurePosixPath(quarantine.weights.name)),
        sha256=sha256,
        quantisation=facts.quantisations[0],
        context=base.context,
        capabilities=base.capabilities,
        held=True,
        base=base.name,
    )


def _try(
    manifest: ModelManifest, base: ModelManifest, place: Place, quarantine: Quarantine
) -> None:
    """Have the base answer with it in a runner of its own, before the one that serves loads it."""
    facts = inspect(base, place.models)
    weights = quarantine.folder / "base.gguf"
    lent = base.model_copy(update={"file": weights.name})
    files = [quarantine.folder / f"{each.name}.toml" for each in (manifest, lent)]
    for file in (*files, weights):
        file.unlink(missing_ok=True)
    try:
        os.link(base.weights(place.models), weights)  # a second name: neither time nor room
        for each in (manifest, lent):
            write_manifest(each, quarantine.folder)
        socket = place.run / f"trial-{os.getpid()}.sock"
        try_out(files[1], facts, place.options, place.free, socket, place.log, manifest)
    finally:
        for file in (files[1], weights):
            file.unlink(missing_ok=True)
