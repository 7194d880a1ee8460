"""An internal authority stamps checkpoints of a running log, and its stamps count as a witness."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloister import CLOISTER
from tests.support.stack import Stack
from tests.support.tsa import TimeStampAuthority


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.start(tmp_path_factory.mktemp("stamps"), ("writer",))
    yield stack
    stack.stop()


def _call(stack: Stack, *arguments: str | Path, status: int = 0) -> str:
    done = subprocess.run(
        [CLOISTER, "audit", "witness", *arguments],
        env={**os.environ, "CLOISTER_STATE": str(stack.settings.root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def _verify(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "audit.cli", "verify", stack.settings.audit, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_stamp_is_asked_for_checked_by_openssl_and_taken_into_the_log(
    stack: Stack, tmp_path: Path
) -> None:
    tsa = TimeStampAuthority.make(tmp_path / "tsa")
    query, response = tmp_path / "checkpoint.tsq", tmp_path / "checkpoint.tsr"
    said = _call(stack, "--query", query)
    assert "application/timestamp-query" in said
    tsa.answer(query, response)
    assert "Verification: OK" in tsa.check(query, response)
    assert "No authority is known" in _call(stack, response, status=1)
    assert "ward-time counts from now on" in _call(stack, "--add", tsa.certificate)
    seen = stack.log.status().size
    assert "Witnessed: " in _call(stack, response)
    status = stack.log.status()
    assert 0 < status.witnessed <= seen
    assert status.witnessed_at is not None
    done = _verify(stack, "--require-witness")
    assert done.returncode == 0, done.stdout
    assert "ward-time" in done.stdout
    other = TimeStampAuthority.make(tmp_path / "other", name="another")
    other.answer(query, response)
    assert "witness --add" in _call(stack, response, status=1)


def test_a_stamp_that_another_log_asked_for_is_refused(stack: Stack, tmp_path: Path) -> None:
    tsa = TimeStampAuthority.make(tmp_path / "tsa", name="second")
    _call(stack, "--add", tsa.certificate)
    other = Stack.start(tmp_path, ("writer",), appliance_id="ward-8")
    try:
        query, response = tmp_path / "q.tsq", tmp_path / "q.tsr"
        _call(other, "--query", query)
        tsa.answer(query, response)
        before = stack.log.status().witnessed
        assert "another checkpoint" in _call(stack, response, status=1)
        assert stack.log.status().witnessed == before
    finally:
        other.stop()


def test_exactly_one_thing_is_asked_for(stack: Stack, tmp_path: Path) -> None:
    assert "--query FILE" in _call(stack, status=2)
    assert "--query FILE" in _call(stack, "--add", "x", "--query", tmp_path / "q", status=2)
