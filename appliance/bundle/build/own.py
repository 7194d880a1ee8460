"""Cloister's own wheel, of a checkout: the same bytes for the same sources, on any machine.

A build back end's bytes would change with its version and with the checkout's permissions.
Format: packaging.python.org, "Binary distribution format"; metadata version 2.4.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

from appliance.bundle.errors import BuildError

_PACKAGES: Final = ("appliance", "audit")
_LICENCE: Final = "LICENSE"
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: cloister\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can name
_REGULAR: Final = 0o100644 << 16


def own_wheel(source: Path, folder: Path) -> Path:
    """Write the wheel of a checkout.

    Args:
        source: the checkout.
        folder: where the wheel is written.

    Raises:
        BuildError: it is no checkout.
    """
    try:
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        files = {path: data for name in _PACKAGES for path, data in _package(source, name)}
        licence = (source / _LICENCE).read_bytes()
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise BuildError(
            f"{source} is no checkout of Cloister. Build in one, or name one with --source."
        ) from error
    stem = f"{project['name']}-{project['version']}"
    about = f"{stem}.dist-info"
    files |= {
        f"{about}/METADATA": _metadata(project).encode(),
        f"{about}/WHEEL": _WHEEL.encode(),
        f"{about}/entry_points.txt": _entry_points(project).encode(),
        f"{about}/licenses/{_LICENCE}": licence,
    }
    record = "".join(f"{_recorded(path, data)}\n" for path, data in files.items())
    files[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as opened:
        for path, data in files.items():
            # Stored, not compressed: what zlib makes of the same bytes changes with its version.
            info = zipfile.ZipInfo(path, _MOMENT)
            info.external_attr = _REGULAR
            opened.writestr(info, data)
    return wheel


def _package(source: Path, name: str) -> list[tuple[str, bytes]]:
    (source / name / "__init__.py").stat()
    found = [path for path in (source / name).rglob("*") if "__pycache__" not in path.parts]
    return [
        (path.relative_to(source).as_posix(), path.read_bytes())
        for path in sorted(found)
        if path.is_file()
    ]


def _metadata(project: dict[str, Any]) -> str:
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", project["name"]),
        ("Version", project["version"]),
        ("Summary", project.get("description", "")),
        ("License-Expression", project.get("license", "")),
        ("License-File", _LICENCE),
        ("Requires-Python", project.get("requires-python", "")),
        *(("Requires-Dist", wanted) for wanted in project.get("dependencies", [])),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields if value)


def _entry_points(project: dict[str, Any]) -> str:
    lines = [f"{name} = {place}\n" for name, place in sorted(project.get("scripts", {}).items())]
    return "".join(["[console_scripts]\n", *lines])


def _recorded(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}"
