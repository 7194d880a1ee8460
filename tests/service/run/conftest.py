"""One running Cloister for the tests of this folder that only look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cloister import Cloister, running


@pytest.fixture(scope="module")
def cloister(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloister]:
    with running(tmp_path_factory.mktemp("cloister") / "var") as started:
        yield started
