"""The officers' tool as one file, `cloister-audit.pyz`, that Python runs as it is.

Made from this package's own sources, in a fixed order, with a fixed date and uncompressed, so that
whoever makes it from the same sources gets the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Final

TOOL_NAME: Final = "cloister-audit.pyz"

_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_PACKAGE: Final = Path(__file__).parent
_LEFT_OUT: Final = "writer"  # runs on the appliance only
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_UNIX: Final = 3
_MODE: Final = 0o100644 << 16

# Runs on Pythons that can not read the package itself, so it is written for all of them.
_MAIN: Final = '''\
"""Says what is missing, or starts the officers' tool."""

import sys

if sys.version_info < (3, 11):
    found = ".".join(map(str, sys.version_info[:2]))
    sys.exit("cloister-audit: needs Python 3.11 or newer; this is %s." % found)

try:
    from audit.cli.main import main
except ImportError as error:
    if (error.name or "").split(".")[0] != "cryptography":
        raise
    sys.exit(
        "cloister-audit: needs the Python package cryptography, 50 or newer. On a machine with a "
        "network: python3 -m pip install cryptography. On one without: bring the wheels along and "
        "python3 -m pip install --no-index --find-links FOLDER cryptography"
    )
sys.exit(main())
'''


def build_tool() -> bytes:
    """The file's bytes, the same for the same sources."""
    packed = io.BytesIO()
    packed.write(_SHEBANG)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "__main__.py", _MAIN.encode())
        for path in sorted(_sources()):
            _add(archive, f"{_PACKAGE.name}/{path.as_posix()}", (_PACKAGE / path).read_bytes())
    return packed.getvalue()


def _sources() -> list[Path]:
    found = [path.relative_to(_PACKAGE) for path in _PACKAGE.rglob("*.py")]
    return [path for path in found if path.parts[0] != _LEFT_OUT]


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = _UNIX
    entry.external_attr = _MODE
    archive.writestr(entry, data)
