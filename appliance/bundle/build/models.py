"""The models that travel in a bundle, each with the manifest that the engine reads."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from appliance.bundle.build.piece import Piece
from appliance.bundle.errors import BuildError
from appliance.bundle.telling import Teller
from appliance.catalogue.digest import file_digest
from appliance.catalogue.known.description import check_servable, comment, describe, make_manifest
from appliance.catalogue.known.head import read_head
from appliance.catalogue.manifest import ModelManifest, read_manifest
from appliance.catalogue.writing import manifest_text

FOLDER = "models"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DEMO = "demo.toml"


def model_pieces(
    wanted: tuple[tuple[str, Path], ...], source: Path, work: Path, teller: Teller
) -> tuple[list[Piece], list[ModelManifest]]:
    """Weights and manifests; without a wish those of the demo model.

    Args:
        wanted: names, and GGUF files.
        source: a checkout of Cloister.
        work: folder for what is generated.
        teller: watches.

    Raises:
        BuildError: a name is none, or there twice, or a file is not there.
        CatalogueError: a file is no model that can be served.
    """
    if not wanted:
        return _demo(source / "models")
    folder = work / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pieces: list[Piece] = []
    manifests: list[ModelManifest] = []
    for name, file in wanted:
        if not _NAME.fullmatch(name) or any(one.name == name for one in manifests):
            raise BuildError(
                f"--model {name}={file}: each model needs a name of its own, of 1 to 63 small"
                " letters, digits or . _ -"
            )
        manifest, text = _described(name, file, teller)
        path = folder / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        manifests.append(manifest)
        pieces += [Piece(f"{FOLDER}/{name}.toml", path), Piece(f"{FOLDER}/{name}.gguf", file)]
    return pieces, manifests


def _demo(models: Path) -> tuple[list[Piece], list[ModelManifest]]:
    manifest = read_manifest(models / _DEMO)
    weights = Piece(f"{FOLDER}/{manifest.file}", manifest.weights(models))
    return [Piece(f"{FOLDER}/{_DEMO}", models / _DEMO), weights], [manifest]


def _described(name: str, file: Path, teller: Teller) -> tuple[ModelManifest, str]:
    if not file.is_file():
        raise BuildError(f"--model {name}={file}: there is no such file.")
    described = describe(read_head(file), file.name)
    check_servable(described)
    with teller.bar(f"Reading {name}", file.stat().st_size) as progress:
        digest = file_digest(file, progress)
    manifest = make_manifest(described, name, PurePosixPath(f"{name}.gguf"), digest)
    return manifest, manifest_text(manifest, comment(described, manifest, "cloister bundle build"))
