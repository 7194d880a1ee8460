"""An export as one tar file: the same bytes each time, from any byte on."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from appliance.web.log.archive import Archive

FILES = {"export.json": b"{}", "log/tile/0/000": b"x" * 512, "log/empty": b"", "b": b"y" * 300_000}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    for name, content in FILES.items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return Archive(tmp_path, "export")


def test_it_unpacks_to_the_files_in_a_folder_of_its_own(archive: Archive) -> None:
    data = b"".join(archive.read(0))
    assert len(data) == archive.size
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        members = {one.name: one for one in found.getmembers()}
        assert members.keys() == {f"export/{name}" for name in FILES}
        for name, content in FILES.items():
            file = found.extractfile(members[f"export/{name}"])
            assert file is not None
            assert file.read() == content
        assert {(one.mtime, one.uid, one.mode) for one in members.values()} == {(0, 0, 0o644)}


@pytest.mark.parametrize("start", [1, 511, 512, 513, 1000, 300_513, 301_056, 303_103, 303_104])
def test_it_goes_on_from_any_byte(archive: Archive, start: int) -> None:
    whole = b"".join(archive.read(0))
    assert b"".join(archive.read(start)) == whole[start:]


def test_it_goes_on_from_every_edge(archive: Archive) -> None:
    whole = b"".join(archive.read(0))
    for start in range(0, archive.size, 509):
        assert b"".join(archive.read(start)) == whole[start:]
