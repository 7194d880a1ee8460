"""Which wheels of the pinned requirements are for a target."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.bundle.build.lock import locked, platforms, rank
from appliance.bundle.build.own import own_wheel
from appliance.bundle.errors import BuildError
from appliance.bundle.targets import TARGETS, this_host
from tests.repository.tree import ROOT

THIRTEEN, TWELVE = TARGETS["debian13-amd64"], TARGETS["debian12-amd64"]


@pytest.mark.parametrize(
    ("name", "suits"),
    [
        ("x-1.0-py3-none-any.whl", True),
        ("x-1.0-cp313-cp313-manylinux_2_28_x86_64.whl", True),
        ("x-1.0-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("x-1.0-py3-none-linux_x86_64.whl", True),
        ("x-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", False),
        ("x-1.0-cp313-cp313t-manylinux_2_28_x86_64.whl", False),
        ("x-1.0-cp313-cp313-manylinux_2_42_x86_64.whl", False),
        ("x-1.0-cp313-cp313-manylinux_2_28_aarch64.whl", False),
        ("x-1.0-cp313-cp313-musllinux_1_2_x86_64.whl", False),
        ("x-1.1-py3-none-any.whl", False),
        ("y-1.0-py3-none-any.whl", False),
        ("nonsense.whl", False),
    ],
)
def test_a_wheel_suits_only_the_python_the_processor_and_the_libc(name: str, suits: bool) -> None:
    assert (rank(Path(name), "x", "1.0", THIRTEEN) is not None) is suits


def test_the_wheel_made_for_it_goes_before_a_general_one() -> None:
    own = rank(Path("x-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"), "x", "1.0", THIRTEEN)
    general = rank(Path("x-1.0-py3-none-any.whl"), "x", "1.0", THIRTEEN)
    assert own is not None
    assert general is not None
    assert own < general


def test_an_older_release_has_an_older_libc() -> None:
    assert "manylinux_2_36_x86_64" in platforms(TWELVE)
    assert "manylinux_2_37_x86_64" not in platforms(TWELVE)


@pytest.mark.parametrize("name", ["runtime", "ansible", "llama"])
def test_our_own_requirements_can_be_read_for_every_target(name: str) -> None:
    for target in TARGETS.values():
        wanted = locked(ROOT / f"requirements/{name}.txt", target)
        assert wanted
        assert all(one.hashes for one in wanted)


def test_markers_are_judged_for_the_target(tmp_path: Path) -> None:
    file = tmp_path / "r.txt"
    digest = "0" * 64
    file.write_text(
        f"a==1 ; python_version < '3.12' --hash=sha256:{digest}\n"
        f"b==1 ; python_version >= '3.12' --hash=sha256:{digest}\n"
        f"c==1 ; platform_machine == 'aarch64' --hash=sha256:{digest}\n"
    )
    assert [one.name for one in locked(file, TWELVE)] == ["a"]
    assert [one.name for one in locked(file, TARGETS["debian13-arm64"])] == ["b", "c"]


@pytest.mark.parametrize("line", ["a>=1 --hash=sha256:" + "0" * 64, "a==1", "!!"])
def test_what_is_not_pinned_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "r.txt"
    file.write_text(f"{line}\n")
    with pytest.raises(BuildError, match="make requirements"):
        locked(file, THIRTEEN)


def test_pip_installs_our_own_wheel_with_its_commands_and_data(tmp_path: Path) -> None:
    wheel = own_wheel(ROOT, tmp_path)
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    command += ["--disable-pip-version-check", "--target", str(target), str(wheel)]
    subprocess.run(command, check=True)
    assert (target / "bin/cloister").is_file()
    assert (target / "bin/cloister-audit").is_file()
    assert (target / "appliance/web/templates/base.html").is_file()
    shown = [sys.executable, "-m", "pip", "show", "--disable-pip-version-check", "cloister"]
    told = subprocess.run(
        shown, env={"PYTHONPATH": str(target)}, capture_output=True, text=True, check=True
    ).stdout
    assert "Apache-2.0" in told
    assert "llama-cpp-python" in told


def test_this_host_is_named_as_its_os_release_says(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_ID="13"\n')
    assert this_host(tmp_path).startswith("debian13-")
