"""`./install` uses nothing of a bundle that is not what was signed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.bundle.targets import this_host
from appliance.bundle.unpack import unpack
from tests.repository.tree import ROOT
from tests.support.bundles import SilentTeller, manifest_of, signers_file, ssh_key, write_bundle

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="install asks for root first"),
]
FILES = {"a/b": b"data", "install": (ROOT / "playbooks/install").read_bytes()}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """An unpacked bundle, with a key and an inventory beside it."""
    key = ssh_key(tmp_path / "key")
    signers_file(tmp_path / "signers", key)
    (tmp_path / "inventory.yml").write_text("all:\n")
    unpacked(tmp_path, this_host())
    return tmp_path


def unpacked(root: Path, target: str) -> None:
    """A bundle for a target, unpacked whatever this machine is."""
    manifest = manifest_of(FILES, target=target)
    bundle = write_bundle(root / "b.tar", manifest, FILES, root / "key")
    unpack(bundle, root / "signers", root / "new", None, target, SilentTeller())


def refused(host: Path, *words: str, signers: str = "signers") -> str:
    given = words or ("--signers", str(host / signers), "--inventory", str(host / "inventory.yml"))
    command = ["sh", str(host / "new/install"), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "[2/5]" not in done.stdout
    return done.stderr


def test_a_changed_file_is_refused(host: Path) -> None:
    (host / "new/a/b").write_bytes(b"DATA")
    assert "not those that were signed" in refused(host)


def test_a_missing_file_is_refused(host: Path) -> None:
    (host / "new/a/b").unlink()
    assert "not those that were signed" in refused(host)


@pytest.mark.parametrize("place", ["extra", "a/extra", "ansible/bin/ansible-playbook", "venv/x"])
def test_a_file_too_many_is_refused(host: Path, place: str) -> None:
    """Also where an earlier run makes files: only below /opt/cloister nobody else can."""
    (host / "new" / place).parent.mkdir(parents=True, exist_ok=True)
    (host / "new" / place).write_text("#!/bin/sh\n")
    assert place in refused(host)


def test_a_link_is_refused(host: Path) -> None:
    (host / "new/a/b").unlink()
    (host / "elsewhere").write_bytes(b"data")
    (host / "new/a/b").symlink_to(host / "elsewhere")
    assert "a/b" in refused(host)


def test_a_changed_manifest_is_refused(host: Path) -> None:
    manifest = host / "new/manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"counter":100', b'"counter":101'))
    assert "not signed with a key" in refused(host)


def test_a_bundle_for_another_system_is_refused(host: Path) -> None:
    shutil.rmtree(host / "new")
    unpacked(host, "debian99-amd64")
    assert "for debian99-amd64, and this is" in refused(host)


def test_another_key_is_refused(host: Path) -> None:
    signers_file(host / "others", ssh_key(host / "other"))
    assert "not signed with a key" in refused(host, signers="others")


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--check"], "--signers"), (["--signers"], "needs a file"), (["--signers", "/x"], "/x")],
)
def test_what_is_missing_is_named(host: Path, words: list[str], told: str) -> None:
    assert told in refused(host, *words)
