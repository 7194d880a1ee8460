"""Check that a model's weights are the bytes that its manifest promises."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from appliance.catalogue.errors import ModelDigestError, ModelFileMissingError
from appliance.catalogue.manifest import ModelManifest

_PIECE = 4 * 1024 * 1024  # bytes


def file_digest(path: Path, progress: Callable[[int], object] = lambda _bytes: None) -> str:
    """SHA-256 of a file, lower-case hex.

    Args:
        path: the file.
        progress: told after each piece how many bytes it had.

    Raises:
        ModelFileMissingError: the file is not there or can not be read.
    """
    try:
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                progress(len(piece))
        return digest.hexdigest()
    except OSError as error:
        raise ModelFileMissingError(
            f"The weights file {path.name!r} can not be read ({error.strerror}); bring it in again"
            " or remove its manifest."
        ) from error


def check_digest(manifest: ModelManifest, models: Path) -> None:
    """Return only if the weights of `manifest` under the folder `models` are the right ones.

    Raises:
        ModelFileMissingError: there is no such file.
        ModelDigestError: its SHA-256 is another one.
    """
    found = file_digest(manifest.weights(models))
    if found != manifest.sha256:
        raise ModelDigestError(
            f"The weights of {manifest.name!r} have SHA-256 {found[:16]}…, the manifest promises"
            f" {manifest.sha256[:16]}…; the file was changed or damaged, bring it in again."
        )
