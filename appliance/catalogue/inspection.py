"""Have a weights file looked into by a process that it may bring down."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance.catalogue.errors import GgufError, InspectionError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.manifest import ModelManifest

_SECONDS = 120.0  # on a machine that is busy with other things; the processor time is bounded too


@dataclass(frozen=True)
class _Report:
    facts: ModelFacts | None = None
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
    weights = manifest.weights(models)
    command = [sys.executable, "-m", "appliance.catalogue.inspector", str(weights)]
    if "chat" not in manifest.capabilities:
        command.append("--no-template")
    own = manifest.template.chat if manifest.template else ""
    try:
        done = subprocess.run(  # noqa: S603 - our own module, and a path of the manifest
            command, input=own.encode(), capture_output=True, timeout=_SECONDS, check=True
        )
        report = _REPORT.validate_json(done.stdout)
    except (subprocess.SubprocessError, ValidationError) as error:
        raise InspectionError(
            f"{weights.name}: looking into it took too much time or memory, so it is no file that"
            " an honest tool wrote; convert the model anew."
        ) from error
    if report.facts is None:
        raise GgufError(report.error or f"{weights.name}: there is no finding.")
    return report.facts
