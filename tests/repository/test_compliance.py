"""docs/compliance.md names tests that exist, and promises nothing without one."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.repository.tree import ROOT

TEXT = (ROOT / "docs/compliance.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| asks |"))
]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
RULES = (
    "164.312(b)", "PCI DSS", "21 CFR 11.10(e)", "17a-4(f)", "Art. 17", "Art. 30", "Art. 12",
    "Art. 19", "26(6)", "AU-2", "AU-3", "AU-5", "AU-9", "AU-10", "AU-11",
)  # fmt: skip


@cache
def names_in(path: str) -> set[str]:
    file = ROOT / path
    assert file.exists(), path
    found = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_what_is_said_to_be_built_is_shown_by_tests_that_exist(row: list[str]) -> None:
    _, _, state, shown = row
    named = NAMED.findall(shown)
    assert len(named) == shown.count("`") // 2
    assert re.fullmatch(r"built|not built|partly: .+", state)
    assert bool(named) is (state != "not built")
    for path, name in named:
        assert name in names_in(path), f"{path}::{name}"


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_mapped(rule: str) -> None:
    assert rule in TEXT


def test_it_is_no_advice() -> None:
    assert "not legal advice" in TEXT
