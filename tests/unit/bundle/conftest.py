"""A release key, who trusts it, and a small bundle that it signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bundles import FILES, manifest_of, signers_file, ssh_key, write_bundle


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ssh_key(tmp_path_factory.mktemp("key") / "release-key")


@pytest.fixture(scope="session")
def signers(key: Path) -> Path:
    return signers_file(key.parent / "release-signers", key)


@pytest.fixture
def bundle(tmp_path: Path, key: Path) -> Path:
    return write_bundle(tmp_path / "good.tar", manifest_of(FILES), FILES, key)
