"""`cloister model show` says what a model takes before anything loads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from tests.support.cloister import tiny_model_tree


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_model_tree(tmp_path)
    monkeypatch.setenv("CLOISTER_STATE", str(tmp_path))
    return tmp_path


def _memory() -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["model", "show", "demo", "--json"])
    assert done.exit_code == 0, done.output
    memory: dict[str, Any] = json.loads(done.output)["memory"]
    return memory


def test_the_plan_names_each_part_and_whether_it_fits(state: Path) -> None:
    memory = _memory()
    parts = [memory[name] for name in ("weights", "cache", "compute", "runner")]
    assert memory["needed"] == sum(parts)
    assert memory["fits"] is True
    assert memory["available"] > memory["needed"]
    table = CliRunner().invoke(cli, ["model", "show", "demo"]).output
    assert "memory cache" in table
    assert "memory fits       yes" in table


def test_the_plan_follows_the_settings(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _memory()["cache"]
    monkeypatch.setenv("CLOISTER_ENGINE_CONTEXT", "32768")
    assert _memory()["cache"] == 2 * before
    monkeypatch.setenv("CLOISTER_ENGINE_CONTEXT", str(1 << 40))
    assert _memory()["fits"] is False


def test_no_more_than_the_limit_is_available(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_ENGINE_MEMORY_MIB", "50")
    memory = _memory()
    assert (memory["available"], memory["fits"]) == (50 * 2**20, False)


def test_a_broken_file_is_shown_with_what_is_wrong(state: Path) -> None:
    (state / "srv/cloister/models/demo.gguf").write_bytes(b"GGUF")
    assert _memory() == {
        "fault": "demo.gguf: is cut off in its header, at version; bring the file in again."
    }
