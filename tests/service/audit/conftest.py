"""Writers for tests; sockets need short paths, so these live in a short folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit.client import AuditClient
from tests.service.audit.harness import Writer


@contextmanager
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="audit-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def root() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
def writer(root: Path) -> Iterator[Writer]:
    with Writer(root) as writer:
        yield writer


@pytest.fixture(scope="module")
def shared() -> Iterator[Writer]:
    """One writer for the tests of a module that leave it running."""
    with short_folder() as folder, Writer(folder) as writer:
        yield writer


@pytest.fixture
def client(writer: Writer) -> Iterator[AuditClient]:
    client = AuditClient(writer.socket, timeout=10)
    yield client
    client.close()
