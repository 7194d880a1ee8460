"""The manifest: what the bundle is, what it needs, and every file with size, mode and SHA-256.

Its bytes are canonical (RFC 8785), so that equal contents have one signature.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal, Self

import rfc8785
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from appliance.bundle.errors import ManifestError
from appliance.bundle.limits import LIMITS

FORMAT = "cloister-bundle/v1"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"

# No dot or hyphen begins a part of a path, so there is no "..", no hidden file, and no option.
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+~%@=-]*"
_PATH = re.compile(rf"{_PART}(/{_PART})*")

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Target = Annotated[str, StringConstraints(pattern=r"^[a-z]+[0-9]+-[a-z0-9]+$", max_length=40)]
Flag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")]
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileEntry(BaseModel):
    """One file of the bundle."""

    model_config = _STRICT

    path: str = Field(max_length=LIMITS.path, description="Inside the bundle, with slashes.")
    size: int = Field(ge=0, le=LIMITS.file, description="Bytes.")
    mode: Literal["0644", "0755"] = Field(description="Permissions that it is unpacked with.")
    sha256: Sha256
    held: bool = Field(description="Left out: the machine has it from the bundle before.")


class Requirements(BaseModel):
    """What the machine has to have before anything is written to it."""

    model_config = _STRICT

    counter: int = Field(ge=0, description="Release counter that must be installed already; or 0.")
    disk_mib: int = Field(ge=0, description="MiB free where releases lie.")
    memory_mib: int = Field(ge=0, description="MiB of memory.")
    processor: list[Flag] = Field(max_length=64, description="Flags, as /proc/cpuinfo has them.")


class Base(BaseModel):
    """The bundle that a delta builds upon."""

    model_config = _STRICT

    counter: int = Field(ge=0, description="Its release counter.")
    manifest: Sha256 = Field(description="SHA-256 of its manifest.")


class Manifest(BaseModel):
    """The signed description of a bundle."""

    model_config = _STRICT

    format: Literal["cloister-bundle/v1"]
    name: Literal["cloister"]
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,40}$")
    counter: int = Field(ge=1, le=2**53 - 1, description="Only ever rises from one to the next.")
    created: int = Field(ge=0, le=2**33 - 1, description="Seconds since 1970, UTC.")
    target: Target
    requires: Requirements
    base: Base | None
    files: list[FileEntry] = Field(min_length=1, max_length=LIMITS.files)

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        for entry in self.files:
            if not _PATH.fullmatch(entry.path) or entry.path in {MANIFEST, SIGNATURE}:
                raise ValueError(f"path {entry.path!r} is not allowed")
        paths = [entry.path.split("/") for entry in self.files]
        for one, next_one in pairwise(paths):
            if one >= next_one:
                raise ValueError(f"{'/'.join(next_one)!r} is listed twice, or out of order")
            if next_one[: len(one)] == one:
                raise ValueError(f"{'/'.join(one)!r} is a file and a folder at once")
        if sum(entry.size for entry in self.files) > LIMITS.total:
            raise ValueError("the files are larger than any bundle may be")
        if self.base is None and any(entry.held for entry in self.files):
            raise ValueError("files are left out, but no bundle is named that has them")
        return self

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.name} {self.version} (release counter {self.counter}, {self.target})"

    @property
    def carried(self) -> list[FileEntry]:
        """The files whose bytes are in this bundle."""
        return [entry for entry in self.files if not entry.held]


def encode(manifest: Manifest) -> bytes:
    """The manifest's bytes, the same for the same contents."""
    return rfc8785.dumps(manifest.model_dump(mode="json"))


def decode(raw: bytes) -> Manifest:
    """Read a manifest whose signature was checked.

    Raises:
        ManifestError: it breaks a rule; names the first one.
    """
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ManifestError(_refusal(f"{where}: {first['msg']}")) from error
    if encode(manifest) != raw:
        raise ManifestError(_refusal("it is not written in the one canonical way (RFC 8785)"))
    return manifest


def _refusal(what: str) -> str:
    return (
        f"The bundle's manifest breaks a rule of the format: {what}. It was made by another"
        " program or a newer release: get the bundle again from who made it."
    )
