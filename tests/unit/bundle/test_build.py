"""A bundle is made of packages, wheels, models and playbooks; the same each time."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bundle.build.make import Wish, build
from appliance.bundle.errors import BuildError, HeldError, UnreadableError
from appliance.bundle.installed import read_installed
from appliance.bundle.manifest import decode
from appliance.bundle.signing import IDENTITY, NAMESPACE
from appliance.bundle.targets import TARGETS
from appliance.bundle.unpack import unpack
from appliance.bundle.verify import opened, read_all
from appliance.catalogue.digest import file_digest
from tests.support.bundles import SilentTeller, deb, ssh_key, wheel
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf

TARGET = "debian13-amd64"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkout, packages and wheels, as a person who builds has them."""
    root = tmp_path_factory.mktemp("given")
    wheels, debs = root / "wheels", root / "debs"
    for folder in (wheels, debs):
        folder.mkdir()
    deb(debs, "cloister-one", depends="cloister-two")
    deb(debs, "cloister-two", "2:1.0+deb13~1")
    small, runner = wheel(wheels, "small", "1.2"), wheel(wheels, "runs-playbooks", "2.0")
    wheel(wheels, "llama-cpp-python", "0.3.36", "py3-none-linux_x86_64", "libggml-cpu-haswell.so")
    (root / "libffi.so.8").write_bytes(b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0 not empty")
    checkout(root / "checkout", small, runner)
    return root


def checkout(root: Path, small: Path, runner: Path) -> None:
    """What a build reads of the repository."""
    for name in ("appliance", "audit"):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").write_text(f'"""{name}."""\n')
    (root / "README.md").write_text("# Cloister\n")
    (root / "LICENSE").write_text("Apache-2.0\n")
    (root / "pyproject.toml").write_text(
        '[project]\nname = "cloister"\nversion = "0.1.0"\n'
        'dependencies = ["small"]\n[project.scripts]\ncloister = "appliance:__doc__"\n'
    )
    pins = root / "requirements"
    pins.mkdir()
    (pins / "runtime.txt").write_text(
        f"small==1.2 ; python_full_version >= '3.12' \\\n    --hash=sha256:{file_digest(small)}\n"
        f"old==1.0 ; python_version < '3.12' \\\n    --hash=sha256:{'0' * 64}\n"
    )
    runs = f"runs-playbooks==2.0 \\\n    --hash=sha256:{file_digest(runner)}\n    # why\n"
    (pins / "ansible.txt").write_text(runs)
    (pins / "llama.txt").write_text(f"llama-cpp-python==0.3.36 --hash=sha256:{'0' * 64}\n")
    (pins / "debian-host.txt").write_text("# packages\ncloister-one\n")
    (root / "playbooks").mkdir()
    (root / "playbooks/site.yml").write_text("- hosts: all\n")
    (root / "playbooks/install").write_text("#!/bin/sh\n")
    (root / "playbooks/install").chmod(0o755)
    models = root / "models"
    models.mkdir()
    write_manifest(models, "demo", write_tiny_gguf(models / "demo.gguf", Shape()))


@pytest.fixture
def wish(given: Path, key: Path, tmp_path: Path) -> Wish:
    return Wish(
        target=TARGETS[TARGET],
        out=tmp_path / "cloister.tar",
        key=key,
        counter=100,
        created=1_795_392_000,
        models=(),
        part_size=0,
        since=None,
        source=given / "checkout",
        cache=tmp_path / "cache",
        debs=given / "debs",
        sources=None,
        wheels=given / "wheels",
        llama=None,
        same_processor=False,
        libffi=given / "libffi.so.8",
        repository_key=None,
    )


def test_a_bundle_has_all_that_a_host_needs(wish: Wish, signers: Path) -> None:
    teller = SilentTeller()
    built = build(wish, teller)
    paths = [entry.path for entry in built.manifest.files]
    assert paths == [
        "debs/InRelease",
        "debs/Packages",
        "debs/cloister-bundle.asc",
        "debs/pool/cloister-one_1.0-1_all.deb",
        "debs/pool/cloister-two_2%3a1.0+deb13~1_all.deb",
        "install",
        "lib/libffi.so.8",
        "models/demo.gguf",
        "models/demo.toml",
        "playbooks/site.yml",
        "sbom.cdx.json",
        "wheels/ansible.txt",
        "wheels/cloister-0.1.0-py3-none-any.whl",
        "wheels/llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl",
        "wheels/runs_playbooks-2.0-py3-none-any.whl",
        "wheels/runtime.txt",
        "wheels/small-1.2-py3-none-any.whl",
    ]
    with opened(wish.out, signers) as found:
        read_all(found, teller, "reading")
    assert all(done == total for done, total in teller.bars.values()), teller.bars
    assert built.manifest.requires.processor == []


def test_two_builds_are_equal_byte_for_byte(wish: Wish, given: Path, tmp_path: Path) -> None:
    """Also from another folder, under another umask, with other times."""
    build(wish, SilentTeller())
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(given / "checkout", elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1, 1))
        if path.is_file():
            path.chmod(0o700 if path.name == "install" else 0o600)
    key = wish.cache / "repository-key.asc"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    other = replace(
        wish,
        out=tmp_path / "other.tar",
        cache=tmp_path / "cache2",
        source=elsewhere,
        repository_key=key,
    )
    before = os.umask(0o077)
    try:
        build(other, SilentTeller())
    finally:
        os.umask(before)
    assert other.out.read_bytes() == wish.out.read_bytes()


def test_an_unpacked_bundle_gives_the_same_bundle_again(
    wish: Wish, signers: Path, tmp_path: Path
) -> None:
    build(wish, SilentTeller())
    folder = tmp_path / "unpacked"
    unpack(wish.out, signers, folder, None, TARGET, SilentTeller())
    again = replace(
        wish, out=tmp_path / "again.tar", debs=folder / "debs/pool", wheels=folder / "wheels"
    )
    build(again, SilentTeller())
    assert again.out.read_bytes() == wish.out.read_bytes()


def test_stock_tools_check_a_bundle_without_ours(wish: Wish, signers: Path, tmp_path: Path) -> None:
    """The very lines of docs/bundle.md."""
    build(wish, SilentTeller())
    page = (Path(__file__).parents[3] / "docs/bundle.md").read_text()
    lines = re.search(r"<!-- stock tools -->\s+```sh\n(.*?)```", page, re.DOTALL)
    assert lines is not None
    assert IDENTITY in lines[1]
    assert NAMESPACE in lines[1]
    shutil.copy(signers, tmp_path / "release-signers")
    script = lines[1].replace("cloister-0.1.0.tar", str(wish.out))
    command = ["sh", "-euc", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Good" in done.stdout
    (tmp_path / "cloister/models/demo.toml").write_text("name = 'other'\n")
    checked = lines[1].strip().splitlines()[-1]
    bad = subprocess.run(
        ["sh", "-uc", checked], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert bad.returncode != 0
    assert "models/demo.toml: FAILED" in bad.stdout


def test_any_tar_unpacks_a_bundle(wish: Wish) -> None:
    build(wish, SilentTeller())
    with tarfile.open(wish.out) as archive:
        names = archive.getnames()
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        listed = decode(manifest.read())
    assert names == ["manifest.json", "manifest.json.sig", *(e.path for e in listed.files)]


@pytest.mark.parametrize("part_size", [0, 3072])
def test_an_interrupted_build_goes_on(wish: Wish, tmp_path: Path, part_size: int) -> None:
    """Also after a part of what was written was lost, and where the lost part is not seen."""
    wish = replace(wish, part_size=part_size)
    files = build(wish, SilentTeller()).files
    whole = b"".join(file.read_bytes() for file in files)
    for kept, bad in ((len(whole) // 2, False), (512, False), (len(whole) - 1, True)):
        for file in files:
            file.unlink()
        left = bytearray(whole[:kept])
        if bad:
            left[-600] ^= 1
        _leave(wish, bytes(left))
        teller = SilentTeller()
        assert b"".join(f.read_bytes() for f in build(wish, teller).files) == whole
    assert [path for path in tmp_path.iterdir() if "partial" in path.name] == []


def _leave(wish: Wish, left: bytes) -> None:
    """What an interrupted build leaves behind."""
    partial = wish.out.with_name(f"{wish.out.name}.partial")
    if not wish.part_size:
        partial.write_bytes(left)
        return
    for number, start in enumerate(range(0, len(left), wish.part_size), start=1):
        part = left[start : start + wish.part_size]
        partial.with_name(f"{partial.name}.{number:03}").write_bytes(part)


def test_a_split_bundle_is_one_bundle(wish: Wish, signers: Path, tmp_path: Path) -> None:
    build(wish, SilentTeller())
    whole = wish.out.read_bytes()
    built = build(replace(wish, part_size=4096), SilentTeller())
    assert not wish.out.exists()
    assert {file.stat().st_size for file in built.files[:-1]} == {4096}
    assert b"".join(file.read_bytes() for file in built.files) == whole
    unpack(built.files[3], signers, tmp_path / "new", None, TARGET, SilentTeller())
    built.files[1].rename(tmp_path / "lost")
    with pytest.raises(UnreadableError, match=r"cloister\.tar\.002"):
        unpack(wish.out, signers, tmp_path / "new2", None, TARGET, SilentTeller())


def test_a_delta_leaves_out_what_the_host_has(wish: Wish, signers: Path, tmp_path: Path) -> None:
    build(wish, SilentTeller())
    first = tmp_path / "first"
    unpack(wish.out, signers, first, None, TARGET, SilentTeller())
    model = tmp_path / "letters.gguf"
    write_tiny_gguf(model, Shape(layers=1))
    delta = replace(
        wish, out=tmp_path / "delta.tar", since=wish.out, counter=101, models=(("letters", model),)
    )
    built = build(delta, SilentTeller())
    carried = {entry.path for entry in built.manifest.carried}
    assert {"models/letters.gguf", "models/letters.toml"} <= carried
    assert not {path for path in carried if path.startswith(("debs/pool", "wheels/small"))}
    running = read_installed(first)
    second = tmp_path / "second"
    unpack(delta.out, signers, second, running, TARGET, SilentTeller())
    for entry in built.manifest.files:
        assert file_digest(second / entry.path) == entry.sha256
    (first / "debs/pool/cloister-one_1.0-1_all.deb").write_bytes(b"gone bad")
    with pytest.raises(HeldError, match="cloister-one"):
        unpack(delta.out, signers, tmp_path / "third", running, TARGET, SilentTeller())
    assert not (tmp_path / "third").exists()


def test_a_delta_needs_a_higher_counter(wish: Wish, tmp_path: Path) -> None:
    build(wish, SilentTeller())
    with pytest.raises(BuildError, match="--counter"):
        build(replace(wish, out=tmp_path / "d.tar", since=wish.out), SilentTeller())


def test_the_bill_of_materials_names_every_part_with_its_digest(
    wish: Wish, signers: Path, tmp_path: Path
) -> None:
    build(wish, SilentTeller())
    unpack(wish.out, signers, tmp_path / "new", None, TARGET, SilentTeller())
    bill = json.loads((tmp_path / "new/sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    digests = {each["hashes"][0]["content"] for each in bill["components"]}
    parts = (".deb", ".whl", ".gguf")
    listed = read_installed(tmp_path / "new").manifest.files
    assert digests == {entry.sha256 for entry in listed if entry.path.endswith(parts)}
    assert {each["bom-ref"] for each in bill["components"]} == {
        "model:demo",
        "pkg:deb/debian/cloister-one@1.0-1?arch=all",
        "pkg:deb/debian/cloister-two@2%3A1.0%2Bdeb13~1?arch=all",
        "pkg:pypi/cloister@0.1.0",
        "pkg:pypi/llama-cpp-python@0.3.36",
        "pkg:pypi/runs-playbooks@2.0",
        "pkg:pypi/small@1.2",
    }


def test_a_wheel_for_one_processor_is_carried_only_if_the_hosts_are_asked_for_it(
    wish: Wish, given: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    one = wheel(folder, "llama-cpp-python", "0.3.36", "py3-none-linux_x86_64", "libggml-cpu.so")
    with pytest.raises(BuildError, match="--same-processor"):
        build(replace(wish, llama=one), SilentTeller())
    built = build(replace(wish, llama=one, same_processor=True), SilentTeller())
    assert built.manifest.requires.processor


def test_what_is_missing_is_named(wish: Wish, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for change, words in (
        ({"wheels": empty}, "llama-cpp-python 0.3.36"),
        ({"debs": empty}, "no packages"),
        ({"source": empty}, "checkout"),
        ({"models": (("x", empty / "x.gguf"),)}, "no such file"),
        ({"models": (("X", empty),)}, "small letters"),
        ({"key": empty / "key"}, "ssh-keygen -t ed25519"),
        ({"libffi": empty / "libffi.so.8"}, "--libffi"),
        ({"libffi": wish.key}, "--libffi"),
        ({"target": TARGETS["debian13-arm64"]}, "debian13-arm64"),
    ):
        with pytest.raises(BuildError, match=words):
            build(replace(wish, **change), SilentTeller())


def test_another_key_signs_as_well(wish: Wish, tmp_path: Path) -> None:
    ecdsa = ssh_key(tmp_path / "ecdsa", "ecdsa")
    assert build(replace(wish, key=ecdsa), SilentTeller()).manifest.counter == 100
