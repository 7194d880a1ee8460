"""The models folder: all manifests in it, good and bad."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.catalogue.errors import ManifestError
from appliance.catalogue.manifest import ModelManifest, read_manifest


@dataclass(frozen=True)
class Catalogue:
    """Manifests of a folder by name, and the complaint about each file that is none."""

    manifests: dict[str, ModelManifest]
    faults: dict[str, str]

    def adapters_of(self, base: str) -> list[ModelManifest]:
        """The adapters of a model."""
        return [each for each in self.manifests.values() if each.base == base]


def file_size(path: Path) -> int:
    """Bytes of a file; 0 where it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_catalogue(models: Path) -> Catalogue:
    """Read every `*.toml` of the folder `models`; one bad manifest does not hide the others."""
    manifests: dict[str, ModelManifest] = {}
    faults: dict[str, str] = {}
    for path in sorted(models.glob("*.toml")):
        try:
            manifests[path.stem] = read_manifest(path)
        except ManifestError as error:
            faults[path.stem] = str(error)
    return Catalogue(manifests, faults)
