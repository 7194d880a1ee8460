"""Model manifests: one `models/<name>.toml` says what a model is and which bytes it must be."""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from appliance.catalogue.errors import ManifestError

MANIFEST_BYTES = 256 * 1024  # a manifest with a long chat template has a few kilobytes
STOPS = 16  # stop strings of a manifest

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Capability = Literal["chat", "complete", "infill", "embed", "classify", "summarise"]
Marker = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class TemplateSection(BaseModel):
    """The optional `[template]` table: it wins over the template inside the GGUF."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chat: str = Field(min_length=1, max_length=65_536, description="Chat template in Jinja.")


class InfillSection(BaseModel):
    """The optional `[infill]` table: how the model wants a gap and its surroundings written.

    Without it, the tokens that the GGUF declares are used, prefix first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: Marker = Field(description="Spelling of the token before the text before the gap.")
    suffix: Marker = Field(description="Spelling of the token before the text behind the gap.")
    middle: Marker = Field(description="Spelling of the token behind which the gap is filled.")
    end: Marker | None = Field(None, description="Spelling of the token that ends the filling.")
    order: Literal["prefix-suffix-middle", "suffix-prefix-middle"] = "prefix-suffix-middle"


class ModelManifest(BaseModel):
    """One model of the catalogue, or one LoRA adapter of such a model.

    An adapter is asked for by its own name. Prompt format, stop texts and what it can do are those
    of its base, which answers with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="What requests call the model.")
    title: str = Field(min_length=1, max_length=120, description="What people read.")
    family: str = Field(min_length=1, max_length=60, description="Architecture, as in the GGUF.")
    parameters: int = Field(gt=0, description="Number of weights.")
    licence: str = Field(
        min_length=1, max_length=120, description="SPDX identifier of the weights."
    )
    file: str = Field(min_length=1, description="GGUF file, relative to the models folder.")
    sha256: Sha256 = Field(description="SHA-256 of that file, lower-case hex.")
    quantisation: str = Field(min_length=1, max_length=40, description="Type of the weights.")
    context: int = Field(ge=16, le=1_048_576, description="Tokens of one request at most.")
    capabilities: tuple[Capability, ...] = Field(("chat", "complete"), min_length=1)
    stop: tuple[str, ...] = Field((), max_length=STOPS, description="Texts that end an answer.")
    notice: str = Field("", max_length=1_000, description="Warning shown beside the model.")
    held: bool = Field(False, description="Served only once an alias has pointed at it.")
    base: Name | None = Field(None, description="Of a LoRA adapter: the model that it changes.")
    template: TemplateSection | None = None
    infill: InfillSection | None = None

    @model_validator(mode="after")
    def _check_adapter(self) -> Self:
        if self.base is None:
            return self
        own = [name for name in ("template", "infill", "stop") if getattr(self, name)]
        if own:
            raise ValueError(f"{', '.join(own)}: an adapter has none of its own, but its base's")
        if self.base == self.name:
            raise ValueError("base: an adapter can not be its own base")
        return self

    def weights(self, models: Path) -> Path:
        """The weights file under the folder `models`.

        Raises:
            ManifestError: `file` points out of the folder.
        """
        parts = PurePosixPath(self.file)
        if parts.is_absolute() or ".." in parts.parts:
            raise ManifestError(
                f"Manifest of {self.name!r}: file {self.file!r} must be a path inside the models"
                " folder, without '..'."
            )
        return models / parts


def read_manifest(path: Path) -> ModelManifest:
    """Read and check one manifest.

    Raises:
        ManifestError: it can not be read, is no TOML, or breaks a rule; names file and field.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > MANIFEST_BYTES:
            raise ManifestError(f"{path.name}: larger than {MANIFEST_BYTES} bytes.")
        manifest = ModelManifest.model_validate(tomllib.loads(raw.decode()))
    except OSError as error:
        raise ManifestError(f"{path.name}: can not be read ({error.strerror}).") from error
    except ValidationError as error:
        raise ManifestError(f"{path.name}: {_complaints(error)}") from error
    except ValueError as error:
        raise ManifestError(f"{path.name}: is no TOML in UTF-8 ({error}).") from error
    if manifest.name != path.stem:
        raise ManifestError(
            f"{path.name}: says name {manifest.name!r}; a manifest's file is called <name>.toml."
        )
    manifest.weights(path.parent)
    return manifest


def _complaints(error: ValidationError) -> str:
    found = [
        f"{'.'.join(str(part) for part in item['loc']) or 'manifest'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(found)
