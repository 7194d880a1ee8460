"""The officers' tool runs on Python and `cryptography` alone: it is shipped as one file."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOW_MODULES = """
import sys
import {modules}
foreign = {{name.partition(".")[0] for name in sys.modules}} - sys.stdlib_module_names
print(*sorted(name for name in foreign if not name.startswith("__")))
"""
TOOL = "audit.cli.main"


@pytest.mark.parametrize(
    ("modules", "allowed"),
    [(TOOL, {"audit", "cryptography", "_cffi_backend", "_openssl"}), ("audit.client", {"audit"})],
)
def test_nothing_else_is_imported(modules: str, allowed: set[str]) -> None:
    code = SHOW_MODULES.format(modules=modules)
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("COV")}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert set(result.stdout.split()) - {"_distutils_hack"} == allowed
