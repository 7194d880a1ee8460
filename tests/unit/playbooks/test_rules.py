"""House rules of the playbooks, over every play, role and task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.repository.tree import ROOT, files, name
from tests.support.playbooks import GIVEN, PLAYBOOKS, ROLES, defaults, read, tasks

PLAYS = [file for file in sorted(PLAYBOOKS.glob("*.yml")) if "inventory" not in file.name]
TASKS = list(tasks())


def _options(role: str) -> dict[str, Any]:
    specs = read(PLAYBOOKS / f"roles/{role}/meta/argument_specs.yml")
    options: dict[str, Any] = specs["argument_specs"]["main"]["options"]
    return options


@pytest.mark.parametrize("file", PLAYS, ids=name)
def test_one_failure_stops_every_host(file: Path) -> None:
    for play in read(file):
        assert play["any_errors_fatal"] is True
        assert play["name"]


@pytest.mark.parametrize(("file", "task"), TASKS, ids=lambda value: str(value)[:60])
def test_a_task_has_a_name_and_hides_no_error(file: str, task: dict[str, Any]) -> None:
    assert task["name"][0].isupper(), file
    assert not {"ignore_errors", "failed_when", "ignore_unreachable"} & task.keys(), task["name"]
    module = next(word for word in task if "." in word)
    assert module.startswith("ansible.builtin."), task["name"]
    assert module not in {"ansible.builtin.shell", "ansible.builtin.raw"}, task["name"]


@pytest.mark.parametrize(("file", "task"), TASKS, ids=lambda value: str(value)[:60])
def test_a_command_is_a_list_of_words(file: str, task: dict[str, Any]) -> None:
    """YAML makes a mapping of a word that ends with a colon."""
    if command := task.get("ansible.builtin.command"):
        words = command["argv"]
        assert isinstance(words, str) or all(isinstance(word, str) for word in words), file


@pytest.mark.parametrize("role", ROLES)
def test_a_role_declares_all_that_it_takes(role: str) -> None:
    options = _options(role)
    assert defaults(role).keys() <= options.keys()
    for option, spec in options.items():
        assert option.startswith(f"{role}_")
        assert spec["description"].endswith("."), option
        assert spec.get("required", False) is (option not in defaults(role)), option


def test_the_site_gives_every_role_what_it_requires() -> None:
    (play,) = read(PLAYBOOKS / "site.yml")
    for use in play["roles"]:
        required = {key for key, spec in _options(use["role"]).items() if spec.get("required")}
        assert required <= use.get("vars", {}).keys() <= _options(use["role"]).keys(), use["role"]
    assert {use["role"] for use in play["roles"]} == set(ROLES)


def test_the_example_inventory_answers_every_question_of_the_site() -> None:
    asked = set(re.findall(r"\{\{ (cloister_\w+) \}\}", (PLAYBOOKS / "site.yml").read_text()))
    inventory = read(PLAYBOOKS / "inventory.example.yml")
    assert inventory["all"]["vars"].keys() == asked


def test_every_variable_that_a_role_uses_is_its_own() -> None:
    for role in ROLES:
        known = _options(role).keys()
        for file in files(f"playbooks/roles/{role}/templates"):
            used = set(re.findall(rf"\b{role}_\w+", file.read_text()))
            given = {word for word in used if word in GIVEN}
            assert used - known <= given, name(file)


def test_the_packages_of_a_host_are_those_of_a_bundle() -> None:
    lines = (ROOT / "requirements/debian-host.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == defaults("base")["base_packages"]
