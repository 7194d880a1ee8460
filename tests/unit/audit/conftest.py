"""One log for each test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.writer.journal import Journal
from tests.unit.audit.logfolder import LogFolder, make_folder


@pytest.fixture
def folder(tmp_path: Path) -> LogFolder:
    return make_folder(tmp_path / "one")


@pytest.fixture
def journal(folder: LogFolder) -> Iterator[Journal]:
    journal = folder.journal()
    yield journal
    journal.release()
