"""Have a weights file looked into by a process that it may bring down."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance.catalogue.adapter import AdapterFacts
from appliance.catalogue.errors import GgufError, InspectionError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.manifest import ModelManifest

_SECONDS = 120.0  # on a machine that is busy with other things; the processor time is bounded too


@dataclass(frozen=True)
class _Report:
    facts: ModelFacts | None = None
    adapter: AdapterFacts | None = None
    error: str | None = None


_REPORT = TypeAdapter(_Report)


def inspect(manifest: ModelManifest, models: Path) -> ModelFacts:
    """Check the structure of a model's weights file, and of its chat template.

    Blocks for some tenths of a second; takes neither memory nor time of this process.

    Args:
        manifest: of the model.
        models: the folder that it lies in.

    Raises:
        GgufError: the file breaks a rule; names it and the remedy.
        InspectionError: it made the process end that looked into it.
    """
    own = manifest.template.chat if manifest.template else ""
    options = [] if "chat" in manifest.capabilities else ["--no-template"]
    report = _looked_into(manifest.weights(models), options, own)
    if report.facts is None:
        raise GgufError(report.error or f"{manifest.file}: there is no finding.")
    return report.facts


def inspect_adapter(weights: Path, base: Path) -> AdapterFacts:
    """Check that a file is a LoRA adapter that fits a model.

    Blocks as `inspect` does, and takes as little.

    Args:
        weights: the file.
        base: weights file of the model that it is for.

    Raises:
        GgufError: it is none, or is for another model.
        InspectionError: it made the process end that looked into it.
    """
    report = _looked_into(weights, ["--base", str(base)], "")
    if report.adapter is None:
        raise GgufError(report.error or f"{weights.name}: there is no finding.")
    return report.adapter


def _looked_into(weights: Path, options: list[str], own: str) -> _Report:
    command = [sys.executable, "-m", "appliance.catalogue.inspector", str(weights), *options]
    try:
        done = subprocess.run(  # noqa: S603 - our own module, and a path of the manifest
            command, input=own.encode(), capture_output=True, timeout=_SECONDS, check=True
        )
        return _REPORT.validate_json(done.stdout)
    except (subprocess.SubprocessError, ValidationError) as error:
        raise InspectionError(
            f"{weights.name}: looking into it took too much time or memory, so it is no file that"
            " an honest tool wrote; convert the model anew."
        ) from error
