"""These tests need the models that `make architectures` makes, and nothing else of it."""

from __future__ import annotations

import pytest

from tests.architectures.made import COMPLETE, folder


@pytest.fixture(autouse=True, scope="session")
def _models() -> None:
    if not (folder() / COMPLETE).exists():
        pytest.skip("NOT TESTED: the models of the architectures; make them: make architectures")
