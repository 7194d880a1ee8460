"""Let a model out of quarantine into the models folder: all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from appliance.catalogue.errors import ManifestExistsError
from appliance.catalogue.manifest import ModelManifest
from appliance.catalogue.writing import write_manifest
from appliance.importing.errors import CopyError, NameTakenError, QuarantineError


def check_free(name: str, models: Path, ours: Path) -> None:
    """Return only if the models folder has no model and no file of a name.

    Args:
        name: of the new model.
        models: the folder.
        ours: the weights in quarantine; an import that was cut off at the very end has put them
            into the folder already.

    Raises:
        NameTakenError: it has.
    """
    if (models / f"{name}.toml").exists():
        raise NameTakenError(
            f"There is a model {name!r} already. Choose another name with --name, or remove that"
            f" one first: cloister model rm {name}"
        )
    weights = models / f"{name}.gguf"
    if weights.exists() and not (ours.exists() and weights.samefile(ours)):
        raise NameTakenError(
            f"{weights} is there already, and no model {name!r} uses it. Choose another name with"
            " --name, move that file away, or have it served:"
            f" cloister model describe {weights} --write {name}"
        )


def check_one_disk(models: Path, quarantine: Path) -> None:
    """Return only if both folders are of one file system, so that weights can move at once.

    Raises:
        QuarantineError: they are not.
    """
    if models.stat().st_dev != quarantine.stat().st_dev:
        raise QuarantineError(
            f"{models} is another disk than {quarantine}. Mount the disk on {models.parent}"
            " instead, so that both lie on it."
        )


def publish(manifest: ModelManifest, weights: Path, models: Path, comment: str) -> None:
    """Put weights and manifest into the models folder; the weights stay in quarantine as well.

    The manifest comes last and at once: before it, there is no model.

    Raises:
        NameTakenError: somebody else took the name meanwhile.
        CopyError: the folder takes nothing; it is as before.
    """
    target = models / f"{manifest.name}.gguf"
    check_free(manifest.name, models, weights)
    try:
        if not target.exists():
            os.link(weights, target)  # a second name for the same bytes: neither time nor room
        write_manifest(manifest, models, comment)
        _sync(models)
    except ManifestExistsError as error:
        raise NameTakenError(str(error)) from error
    except OSError as error:
        with suppress(OSError):
            target.unlink(missing_ok=True)
        raise CopyError(
            f"{models} takes no new model ({error.strerror}). Mend that, then run the same command"
            " again."
        ) from error


def withdraw(manifest: ModelManifest, models: Path, others: Iterable[ModelManifest]) -> bool:
    """Take a model out of the models folder: first the manifest, then the weights.

    Args:
        manifest: of the model.
        models: the folder.
        others: manifests that stay; weights that one of them names stay too.

    Returns:
        Whether the weights were deleted.
    """
    weights = manifest.weights(models)
    (models / f"{manifest.name}.toml").unlink()
    _sync(models)
    needed = any(other.weights(models) == weights for other in others)
    if not needed:
        weights.unlink(missing_ok=True)
    return not needed


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
