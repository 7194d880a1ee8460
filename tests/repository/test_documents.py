"""What the documents say is so."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest

from appliance import __version__
from appliance.host.preflight import RELEASED
from appliance.settings import Settings
from tests.repository.tree import ROOT, files, name

DOCUMENTS = list(files("*.md"))
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_RELEASE = re.compile(r"^## \[(?P<version>[\d.]+)\] - (?P<date>[\d-]+)$", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    for link in _LINK.finditer(document.read_text()):
        target = link["target"].split("#")[0]
        if target and "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_newest_release_of_the_changelog_is_this_one() -> None:
    newest = _RELEASE.search((ROOT / "CHANGELOG.md").read_text())
    assert newest is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert newest["version"] == project["version"] == __version__
    assert date.fromisoformat(newest["date"]) == RELEASED


def test_changes_stand_under_the_headings_of_keep_a_changelog() -> None:
    headings = re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(headings) <= allowed


def test_every_tool_that_contributors_are_told_of_is_run_by_make_test() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    tools = re.findall(r"^\| `([a-z -]+)` \|", text, re.MULTILINE)
    assert len(tools) >= 7
    dry = ["make", "--dry-run", "test"]
    planned = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for tool in tools:
        assert re.search(rf"(^|/){tool}\b", planned, re.MULTILINE), tool


@pytest.mark.parametrize(
    ("given", "floor"),
    [([], True), (["TESTS=tests/unit"], False), (["PYTEST_ARGS=-k age"], False)],
)
def test_all_tests_together_have_to_reach_the_floor_of_contributing_md(
    given: list[str], floor: bool
) -> None:
    told = re.search(r"at least (\d+) % over all tests", (ROOT / "CONTRIBUTING.md").read_text())
    assert told is not None
    # A make above this one would hand its own variables down.
    inherited = re.compile("MAKE|MFLAGS|TESTS|PYTEST_ARGS")
    plain = {key: value for key, value in os.environ.items() if not inherited.match(key)}
    dry = ["make", "--dry-run", "test", *given]
    done = subprocess.run(dry, cwd=ROOT, env=plain, capture_output=True, text=True, check=True)
    assert (f"--fail-under={told[1]}\n" in done.stdout) is floor


def test_ci_runs_the_test_command_of_the_readme() -> None:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines() if line[:2] == "$ "]
    assert commands[:2] == ["make run", "make test"]
    assert "exec make test\n" in (ROOT / ".ci/run").read_text()


def test_every_target_of_make_explains_itself() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: ([a-z-]+)$", text, re.MULTILINE))
    helped = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    explained = set(re.findall(r"^  make ([a-z-]+) +\S", helped, re.MULTILINE))
    assert {"run", "test", "check", "format", "clean"} <= explained
    assert targets - explained <= {"ready-test"}


def test_the_paths_of_the_readme_s_layout_exist() -> None:
    table = (ROOT / "README.md").read_text().split("## Where things are")[1]
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    for path in re.findall(r"`([a-z]+/)`", " ".join(rows)):
        assert (ROOT / path).is_dir(), path


def test_the_proofs_that_security_md_names_exist() -> None:
    for path in re.findall(r"`(tests/[^`]+)`", (ROOT / "SECURITY.md").read_text()):
        assert (ROOT / path).exists(), path


def test_settings_that_documents_name_exist() -> None:
    known = {f"CLOISTER_{field.upper()}" for field in Settings.model_fields}
    for document in DOCUMENTS:
        assert set(re.findall(r"CLOISTER_[A-Z_]+", document.read_text())) <= known, document


@pytest.mark.parametrize("decision", list(files("docs/decisions/*.md")), ids=name)
def test_a_decision_has_its_parts(decision: Path) -> None:
    text = decision.read_text()
    number = int(decision.name.split("-")[0])
    assert re.match(rf"# {number}[.:] \S", text)
    for part in ("Context", "(Decision|Choice)", "Consequences"):
        assert re.search(rf"(?m)^## {part}$", text), part


def test_decisions_are_numbered_without_a_gap_or_a_double() -> None:
    numbers = [int(file.name.split("-")[0]) for file in files("docs/decisions/*.md")]
    assert numbers == list(range(1, len(numbers) + 1))
