"""The software bill of materials: CycloneDX 1.6, of packages, wheels and models.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import re
import uuid
import zipfile
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from appliance.bundle.build.repository import fields
from appliance.bundle.errors import BuildError
from appliance.catalogue.digest import file_digest
from appliance.catalogue.manifest import ModelManifest

NAME: Final = "sbom.cdx.json"
_SPDX = re.compile(r"[A-Za-z0-9.+() -]{1,120}")


def bill(
    version: str,
    created: int,
    debs: list[Path],
    wheels: list[Path],
    models: list[ModelManifest],
) -> bytes:
    """The bill as JSON, the same for the same contents.

    Args:
        version: of the release.
        created: its moment, seconds since 1970.
        debs: package files.
        wheels: wheel files.
        models: their manifests.

    Raises:
        BuildError: a wheel is none.
    """
    components = [
        *(_package(deb) for deb in debs),
        *(_wheel(wheel) for wheel in wheels),
        *(_model(model) for model in models),
    ]
    components.sort(key=lambda component: str(component["bom-ref"]))
    content = json.dumps(components, sort_keys=True)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {
            "timestamp": f"{datetime.fromtimestamp(created, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "component": {"type": "application", "name": "cloister", "version": version},
        },
        "components": components,
    }
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _package(deb: Path) -> dict[str, Any]:
    known = HeaderParser().parsestr(fields(deb))
    name, version, arch = known["Package"], known["Version"], known["Architecture"]
    purl = f"pkg:deb/debian/{name}@{quote(version, safe='.~')}?arch={arch}"
    return _component("library", name, version, purl, file_digest(deb))


def _wheel(wheel: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(wheel) as opened:
            inside = next(n for n in opened.namelist() if n.endswith(".dist-info/METADATA"))
            known = HeaderParser().parsestr(opened.read(inside).decode("utf-8"))
    except (OSError, StopIteration, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise BuildError(f"{wheel} is no wheel. Delete it, then build again.") from error
    name, version = known["Name"], known["Version"]
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version, safe='.')}"
    component = _component("library", name, version, purl, file_digest(wheel))
    return component | _licence(known["License-Expression"])


def _model(model: ModelManifest) -> dict[str, Any]:
    reference = f"model:{model.name}"
    component = _component("machine-learning-model", model.name, "", reference, model.sha256)
    del component["purl"], component["version"]
    named = {"licenses": [{"license": {"name": model.licence}}]}
    return component | {"description": model.title} | named


def _component(kind: str, name: str, version: str, purl: str, sha256: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def _licence(expression: str | None) -> dict[str, Any]:
    if not expression or not _SPDX.fullmatch(expression):
        return {}
    return {"licenses": [{"expression": expression}]}
