"""apt fetches the packages for a bundle, and takes those that a bundle carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bundle.build.apt import Apt
from appliance.bundle.build.piece import Piece
from appliance.bundle.build.repository import repository
from appliance.bundle.build.sources import sources_for
from appliance.bundle.errors import BuildError, ToolError
from appliance.bundle.targets import TARGETS
from tests.support.bundles import SilentTeller, deb

TARGET = TARGETS["debian13-amd64"]
MOMENT = 1_795_392_000


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("debs")
    return [
        deb(folder, "cloister-one", depends="cloister-two (>= 2:1.0)"),
        deb(folder, "cloister-two", "2:1.0+deb13~1"),
        deb(folder, "cloister-unwanted"),
    ]


def laid_out(pieces: list[Piece], root: Path) -> Path:
    """The repository as it lies on a host that unpacked the bundle; its sources file."""
    for piece in pieces:
        path = root / piece.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(piece.source.read_bytes())
    sources = root / "cloister.sources"
    sources.write_text(
        f"Types: deb\nURIs: file:{root}/debs\nSuites: ./\n"
        f"Signed-By: {root}/debs/cloister-bundle.asc\n"
    )
    return sources


@pytest.fixture
def mirror(debs: list[Path], tmp_path: Path) -> Path:
    key = tmp_path / "key.asc"
    pieces = repository(debs, TARGET.architecture, MOMENT, key, tmp_path / "work")
    return laid_out(pieces, tmp_path / "host")


def test_apt_takes_what_was_asked_for_and_what_that_needs(mirror: Path, tmp_path: Path) -> None:
    teller = SilentTeller()
    apt = Apt(tmp_path / "apt", TARGET)
    found = apt.fetch(["cloister-one"], mirror, teller)
    names = ["cloister-one_1.0-1_all.deb", "cloister-two_2%3a1.0+deb13~1_all.deb"]
    assert [file.name for file in found] == names
    assert apt.fetch(["cloister-one"], mirror, teller) == found


def test_apt_refuses_an_index_that_was_changed(mirror: Path, tmp_path: Path) -> None:
    index = mirror.parent / "debs/Packages"
    index.write_text(index.read_text().replace("of a test", "of a thief"))
    with pytest.raises(ToolError):
        Apt(tmp_path / "apt", TARGET).fetch(["cloister-one"], mirror, SilentTeller())


def test_apt_refuses_a_package_that_was_changed(mirror: Path, tmp_path: Path) -> None:
    package = mirror.parent / "debs/pool/cloister-one_1.0-1_all.deb"
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 1
    package.write_bytes(data)
    with pytest.raises(ToolError, match="failed"):
        Apt(tmp_path / "apt", TARGET).fetch(["cloister-one"], mirror, SilentTeller())


def test_apt_refuses_another_key(mirror: Path, debs: list[Path], tmp_path: Path) -> None:
    pieces = repository(debs, "amd64", MOMENT, tmp_path / "other.asc", tmp_path / "work2")
    signed = next(piece for piece in pieces if piece.path == "debs/InRelease")
    (mirror.parent / "debs/InRelease").write_bytes(signed.source.read_bytes())
    with pytest.raises(ToolError):
        Apt(tmp_path / "apt", TARGET).fetch(["cloister-one"], mirror, SilentTeller())


def test_an_unknown_package_is_named(mirror: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cloister-three"):
        Apt(tmp_path / "apt", TARGET).fetch(["cloister-three"], mirror, SilentTeller())


def _system(root: Path, codename: str, files: dict[str, str]) -> Path:
    apt = root / "etc/apt"
    (apt / "sources.list.d").mkdir(parents=True)
    (root / "etc/os-release").write_text(f"ID=debian\nVERSION_CODENAME={codename}\n")
    for name, text in files.items():
        (apt / name).write_text(text)
    return root


@pytest.mark.parametrize(
    "files",
    [
        {
            "sources.list": "# comment\ndeb http://mirror.example/debian bookworm main contrib\n"
            "deb-src http://other.example/debian bookworm main\n"
            "deb [signed-by=/k.gpg arch=amd64] http://mirror.example/security"
            " bookworm-security main\ndeb http://shop.example/x stable main\n"
        },
        {
            "sources.list.d/debian.sources": "# comment\nTypes: deb deb-src\n"
            "URIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
            "Components: main\n\nTypes: deb\nURIs: http://mirror.example/security\n"
            "Suites: bookworm-security\nComponents: main\nSigned-By: /k.gpg\n\n"
            "Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm\n"
        },
    ],
    ids=["one line", "deb822"],
)
def test_the_mirrors_are_those_of_this_machine(files: dict[str, str], tmp_path: Path) -> None:
    text = sources_for(TARGET, _system(tmp_path, "bookworm", files))
    assert text == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: http://mirror.example/security\nSuites: trixie-security\n"
        "Components: main\nSigned-By: /k.gpg\n"
    )


def test_a_machine_without_a_debian_mirror_is_told_what_to_give(tmp_path: Path) -> None:
    root = _system(tmp_path, "bookworm", {"sources.list": "deb http://x.example/y stable main\n"})
    with pytest.raises(BuildError, match="--sources"):
        sources_for(TARGET, root)
