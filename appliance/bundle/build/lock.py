"""The pinned requirements, and which wheels of them suit a target."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)

from appliance.bundle.errors import BuildError
from appliance.bundle.targets import Target

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Locked:
    """One pinned requirement.

    Args:
        name: normalised, as PEP 503 has it.
        version: the only one that is allowed.
        hashes: SHA-256 of every file that is allowed.
    """

    name: NormalizedName
    version: str
    hashes: frozenset[str]

    def line(self, hashes: Iterable[str] | None = None) -> str:
        """As pip reads it, with its own hashes or with fewer."""
        wanted = sorted(self.hashes if hashes is None else hashes)
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{h}" for h in wanted)])


def locked(file: Path, target: Target) -> list[Locked]:
    """What a requirements file asks for on a target, in its order.

    pip would judge the markers by the Python that runs it, which is not the target's.

    Args:
        file: with exact versions and hashes.
        target: where it is to be installed.

    Raises:
        BuildError: it is not there, or a line is not pinned.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise BuildError(
            f"{file} can not be read ({error.strerror}). Build in a checkout of Cloister, or name"
            " one with --source."
        ) from error
    plain = re.sub(r"(?m)^\s*#.*\n?", "", text).replace("\\\n", " ")
    lines = [line for line in plain.splitlines() if line.strip()]
    return [found for line in lines if (found := _locked(line, file, target)) is not None]


def _locked(line: str, file: Path, target: Target) -> Locked | None:
    words, hashes = line.split(" --hash=")[0].strip(), frozenset(_HASH.findall(line))
    try:
        wish = Requirement(words)
    except InvalidRequirement as error:
        raise BuildError(f"{file}: {words!r} is no requirement. Run: make requirements") from error
    pins = [spec.version for spec in wish.specifier if spec.operator == "=="]
    if len(pins) != 1 or not hashes:
        raise BuildError(f"{file}: {words!r} is not pinned with hashes. Run: make requirements")
    if wish.marker is not None and not wish.marker.evaluate(_environment(target)):
        return None
    return Locked(canonicalize_name(wish.name), pins[0], hashes)


def _environment(target: Target) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
    }


def platforms(target: Target) -> list[str]:
    """Platform tags whose wheels load on a target, the best first."""
    newest = [f"manylinux_2_{minor}_{target.machine}" for minor in range(target.glibc, 4, -1)]
    old = [f"{name}_{target.machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1")]
    return [*newest, *old, f"linux_{target.machine}"]


@cache
def _tags(target: Target) -> dict[Tag, int]:
    version = tuple(int(part) for part in target.python.split("."))
    where, interpreter = platforms(target), f"cp{target.python.replace('.', '')}"
    best = [
        *cpython_tags(version, platforms=where),
        *compatible_tags(version, interpreter=interpreter, platforms=where),
    ]
    return {tag: rank for rank, tag in reversed(list(enumerate(best)))}


def rank(wheel: Path, name: str, version: str, target: Target) -> int | None:
    """How well a wheel suits a target, the best being 0; None where it does not, or is another.

    Args:
        wheel: file; only its name is looked at.
        name: of the package, normalised.
        version: of the package.
        target: where it is to be installed.
    """
    try:
        found, its_version, _, tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename:
        return None
    if found != name or str(its_version) != version:
        return None
    return min((_tags(target)[tag] for tag in tags if tag in _tags(target)), default=None)
