"""The officers' tool as one file: equal bytes each time, at work with `cryptography` alone."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from audit.export.make import make_export, whole
from audit.onefile import TOOL_NAME, build_tool
from audit.reader import open_rows
from scripts.officers_tool import main
from tests.unit.audit.exportfolder import Export
from tests.unit.audit.logfolder import LogFolder
from tests.unit.audit.manyrecords import SECRET, make_log

NEEDED = ["cryptography", "_cffi_backend"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    folder = make_log(tmp_path_factory.mktemp("onefile") / "one")
    for name, identity in zip("ab", folder.identities, strict=True):
        (folder.root / f"{name}.key").write_text(f"{identity}\n")
    return folder


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine with Python, `cryptography` and the tool: a folder with links to these alone."""
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "packages").mkdir()
    for name in NEEDED:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        place = Path(found.origin)
        place = place.parent if place.name == "__init__.py" else place
        (folder / "packages" / place.name).symlink_to(place)
    (folder / TOOL_NAME).write_bytes(build_tool())
    return folder


def run(
    laptop: Path, *arguments: str | Path, packages: bool = True
) -> subprocess.CompletedProcess[str]:
    """Start it there: -S keeps the packages of this installation away."""
    environment = {"PATH": os.environ["PATH"]}
    if packages:
        environment["PYTHONPATH"] = str(laptop / "packages")
    command = [sys.executable, "-S", TOOL_NAME, *map(str, arguments)]
    return subprocess.run(
        command, cwd=laptop, capture_output=True, text=True, check=False, env=environment
    )


def test_two_makings_give_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        assert main([str(tmp_path / name)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == build_tool()
    digest = hashlib.sha256(build_tool()).hexdigest()
    assert first.split()[0] == second.split()[0] == digest
    assert main([]) == 2


def test_neither_time_nor_order_nor_mode_of_the_sources_shows() -> None:
    with zipfile.ZipFile(io.BytesIO(build_tool())) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names[0] == "__main__.py"
    assert names[1:] == sorted(names[1:])
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert not any("writer" in name or "__pycache__" in name for name in names)


def test_it_works_with_cryptography_alone(log: LogFolder, laptop: Path) -> None:
    export = Export.make(log, laptop / "export").folder
    keys = ["--key", log.root / "a.key", "--key", log.root / "b.key"]
    verified = run(laptop, "verify", export)
    assert verified.stdout.startswith("INTACT"), verified.stderr
    assert SECRET in run(laptop, "open", export, *keys).stdout
    assert "record 2" in run(laptop, "search", export, *keys[:2], "--outcome", "answered").stdout
    for form in ("csv", "ocsf", "fhir-r5"):
        done = run(laptop, "convert", export, *keys[:2], "--to", form, "-o", f"out.{form}")
        assert done.returncode == 0, done.stderr


def test_without_cryptography_it_says_what_to_install(laptop: Path) -> None:
    done = run(laptop, "verify", "x", packages=False)
    assert done.returncode == 1
    assert "needs the Python package cryptography" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_export_of_the_appliance_brings_it_along(log: LogFolder, tmp_path: Path) -> None:
    with open_rows(log.settings.folder) as rows:
        for name in ("one", "two"):
            make_export(rows, tmp_path / name, whole(rows), tool=build_tool())
    assert (tmp_path / "one" / TOOL_NAME).read_bytes() == build_tool()
    assert (tmp_path / "one/SHA256SUMS").read_bytes() == (tmp_path / "two/SHA256SUMS").read_bytes()
    command = [sys.executable, tmp_path / "one" / TOOL_NAME, "verify", tmp_path / "one"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("INTACT")
