"""`cloister-audit search`: one officer finds records; names and contents need the other one too."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from audit.client import AuditClient, RecordType
from tests.service.audit.harness import Writer, call_tool, tool


@pytest.fixture(scope="module")
def original(shared: Writer) -> Path:
    """A log of three prompts; its writer is stopped."""
    client = AuditClient(shared.socket, timeout=10)
    for actor, task, case in (
        ("m.keller", "triage", "case-12"),
        ("b.yilmaz", "triage", None),
        ("m.keller", "reply", None),
    ):
        client.append(
            RecordType.PROMPT,
            actor=actor,
            subject=case,
            meta={"task": task, "source": "web"},
            content={"text": "Wie hoch ist die Dosis?"},
        )
    client.close()
    shared.stop()
    return shared.root


@pytest.fixture
def writer(original: Path, root: Path) -> Writer:
    shutil.copytree(original, root / "copy")
    return Writer(root / "copy")


def search(writer: Writer, *options: str | Path, key: str = "a.key") -> list[dict[str, Any]]:
    output = tool("search", writer.log, "--key", writer.root / key, "--json", *options)
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("key", ["a.key", "b.key"])
def test_either_officer_alone_finds_by_task_and_reads_no_name_and_no_content(
    writer: Writer, key: str
) -> None:
    found = search(writer, "--task", "triage", key=key)
    assert [record["index"] for record in found] == [1, 2]
    assert found[0]["meta"]["meta"] == {"source": "web", "task": "triage"}
    assert (found[0]["actor"], found[0]["subject"], found[0]["content"]) == (None, None, None)
    text = tool("search", writer.log, "--key", writer.root / key)
    for sealed in ("keller", "yilmaz", "case-12", "Dosis"):
        assert sealed not in text
    assert f"actor token: {found[0]['actor_token']}" in text


def test_a_person_a_case_a_kind_and_a_time_are_found(writer: Writer) -> None:
    assert [one["index"] for one in search(writer, "--actor", "m.keller")] == [1, 3]
    assert [one["index"] for one in search(writer, "--subject", "case-12")] == [1]
    assert [one["type"] for one in search(writer, "--type", "epoch-open")] == ["epoch-open"]
    assert search(writer, "--since", "2999-01-01") == []
    assert len(search(writer, "--until", "2999-01-01")) == 5


def test_a_query_finds_without_any_key_and_shows_nothing_sealed(writer: Writer, root: Path) -> None:
    query = root / "q.json"
    key = ["--key", writer.root / "a.key"]
    assert tool("search", writer.log, *key, "--actor", "m.keller", "--write-query", query) == ""
    assert "keller" not in query.read_text()
    found = [
        json.loads(line)
        for line in tool("search", writer.log, "--query", query, "--json").splitlines()
    ]
    assert [one["index"] for one in found] == [1, 3]
    assert all(one["meta"] == {} for one in found)


def test_strange_keys_and_strange_queries_are_told_apart(writer: Writer, root: Path) -> None:
    subprocess.run(["age-keygen", "-o", root / "c.key"], capture_output=True, check=True)
    status, output, errors = call_tool("search", writer.log, "--key", root / "c.key")
    assert (status, output) == (5, "")
    assert "Nothing was opened" in errors
    (root / "q.json").write_text('{"version": 1, "origin": "other/audit", "epochs": {}}')
    status, _, errors = call_tool("search", writer.log, "--query", root / "q.json")
    assert status == 4
    assert "made for the log other/audit" in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "LOG"],
        ["search", "LOG", "--query", "/nonexistent"],
        ["search", "LOG", "--query", "A", "--task", "triage"],
        ["search", "LOG", "--key", "A", "--since", "yesterday"],
        ["search", "LOG", "--key", "A", "--write-query", "/nonexistent/q"],
    ],
)
def test_wrong_usage_is_exit_4_and_explained(writer: Writer, arguments: list[str]) -> None:
    names = {"LOG": writer.log, "A": writer.root / "a.key"}
    status, output, errors = call_tool(*(names.get(each, each) for each in arguments))
    assert (status, output) == (4, "")
    assert "cloister-audit" in errors
