"""The file of aliases: what it remembers, how far back, and what a reader of it finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.aliases import Aliases, Target, check_alias_name
from appliance.engine.errors import AliasFileError, AliasRefusedError, UnknownAliasError

ALIASES = st.sampled_from(["triage", "letters"])
MOVES = st.one_of(
    st.tuples(st.just("point"), ALIASES, st.sampled_from(["one", "two", "three"])),
    st.tuples(st.sampled_from(["back", "remove"]), ALIASES, st.just("")),
)


def target(model: str) -> Target:
    return Target.now(model, (model.encode().hex() * 22)[:64].ljust(64, "0"), "tests")


@given(st.lists(MOVES, max_size=30))
def test_an_alias_is_a_stack_of_targets_and_the_file_always_agrees(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, str, str]]
) -> None:
    file = tmp_path_factory.mktemp("aliases") / "aliases.json"
    aliases, expected = Aliases(file), dict[str, list[str]]()
    for what, alias, model in moves:
        stack = expected.get(alias, [])
        if what == "point":
            aliases.point(alias, target(model))
            if stack[-1:] != [model]:
                expected[alias] = [*stack, model]
        elif what == "back" and len(stack) > 1:
            aliases.back(alias)
            stack.pop()
        elif what == "remove" and stack:
            aliases.remove(alias)
            del expected[alias]
        else:
            with pytest.raises((UnknownAliasError, AliasRefusedError)):
                getattr(aliases, what)(alias)
    for known in (aliases, Aliases(file)):
        found = {name: [one.model for one in each] for name, each in known.all().items()}
        assert found == expected
        for name, stack in expected.items():
            assert known.resolve(name) == stack[-1]
            assert name in known.of(stack[-1])


def test_a_name_that_is_no_alias_stands_for_itself(tmp_path: Path) -> None:
    assert Aliases(tmp_path / "aliases.json").resolve("demo") == "demo"


def test_only_the_latest_moves_are_remembered(tmp_path: Path) -> None:
    aliases = Aliases(tmp_path / "aliases.json")
    for number in range(40):
        aliases.point("triage", target(f"model-{number}"))
    assert [one.model for one in aliases.targets("triage")] == [
        f"model-{number}" for number in range(8, 40)
    ]


def test_the_same_name_with_other_weights_is_a_move(tmp_path: Path) -> None:
    aliases = Aliases(tmp_path / "aliases.json")
    aliases.point("triage", target("demo"))
    aliases.point("triage", target("demo").model_copy(update={"sha256": "f" * 64}))
    assert aliases.previous("triage") == target("demo").model_copy(
        update={"since": aliases.previous("triage").since}
    )


def test_what_can_not_be_written_is_not_believed(tmp_path: Path) -> None:
    aliases = Aliases(tmp_path / "aliases.json")
    aliases.point("triage", target("one"))
    (tmp_path / ".aliases.json.new").mkdir()
    with pytest.raises(OSError, match=r"aliases\.json\.new"):
        aliases.point("triage", target("two"))
    assert aliases.resolve("triage") == "one"
    assert Aliases(tmp_path / "aliases.json").resolve("triage") == "one"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "file"),
        ("[]", "file"),
        ('{"version": 2, "aliases": {}}', "version"),
        ('{"version": 1, "aliases": {"a": []}}', "aliases.a"),
        ('{"version": 1, "aliases": {"a": [{"model": "m"}]}}', "sha256"),
        (json.dumps({"version": 1, "aliases": {"A b": []}}), "aliases"),
    ],
)
def test_a_damaged_file_is_named_with_its_place_and_the_remedy(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "aliases.json"
    file.write_text(text)
    with pytest.raises(AliasFileError, match="is damaged") as caught:
        Aliases(file)
    assert named in str(caught.value)
    assert "cloister model activate" in str(caught.value)


@pytest.mark.parametrize("name", ["", "Triage", "a b", "-a", "a/b", "ä", "a" * 64])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(AliasRefusedError, match="can not be an alias"):
        check_alias_name(name)


@pytest.mark.parametrize("name", ["triage", "a", "0", "triage-2.1_b", "a" * 63])
def test_a_good_name_is_taken(name: str) -> None:
    check_alias_name(name)
