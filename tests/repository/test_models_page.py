"""The table of docs/models.md is what the command prints today."""

from __future__ import annotations

import re

from click.testing import CliRunner

from appliance.catalogue.known.library import known_models
from appliance.cli.main import cli
from tests.repository.tree import ROOT

PAGE = (ROOT / "docs/models.md").read_text(encoding="utf-8")
_TABLE = re.compile(r"<!-- known models -->\n(.*)<!-- end of known models -->\n", re.DOTALL)


def test_the_table_is_up_to_date() -> None:
    found = _TABLE.search(PAGE)
    assert found is not None
    printed = CliRunner().invoke(cli, ["model", "known", "--markdown"]).output
    assert found[1] == printed


def test_the_number_in_the_changelog_is_the_number_of_profiles() -> None:
    named = re.search(r"what (\d+) models", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert named is not None
    assert int(named[1]) == len(known_models())


def test_the_page_names_every_model_whose_licence_allows_research_only() -> None:
    narrow = {model.title for model in known_models() if "research" in model.notice}
    assert narrow == {"Orca 2 7B", "Orca 2 13B", "Qwen2.5 3B Instruct"}
    assert "research only: Orca 2, and Qwen2.5 3B" in PAGE
