"""What is checked about an answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.tasks.checks import Check, check_answer

SCHEMA = {
    "type": "object",
    "required": ["sender", "lines"],
    "properties": {
        "sender": {"type": ["string", "null"]},
        "lines": {"type": "array", "items": {"type": "string"}},
    },
}


def outcome(checks: tuple[Check, ...]) -> dict[str, bool]:
    return {check.name: check.passed for check in checks}


def test_a_text_that_came_to_its_end_is_complete() -> None:
    assert outcome(check_answer("Hello", "stop", None, None)) == {"complete": True}


def test_a_text_that_was_cut_is_not_complete() -> None:
    (check,) = check_answer("Hel", "length", None, None)
    assert not check.passed
    assert "token limit" in check.detail


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"sender": "A"', "not JSON"),
        ('{"sender": 5, "lines": []}', "sender breaks the schema's rule 'type'"),
        ('{"sender": "A"}', "the answer breaks the schema's rule 'required'"),
        ('{"sender": "A", "lines": ["a", 2]}', "lines.1 breaks"),
    ],
)
def test_a_broken_schema_names_the_place_but_no_word_of_the_answer(answer: str, words: str) -> None:
    checks = check_answer(answer, "stop", SCHEMA, None)
    assert outcome(checks) == {"complete": True, "schema": False}
    assert words in checks[1].detail


def test_values_that_the_source_does_not_have_are_named() -> None:
    answer = json.dumps({"sender": "Acme Ltd", "lines": ["1 May 2026", "2 May 2026"]})
    checks = check_answer(answer, "stop", SCHEMA, "Acme\n  Ltd, 1 May 2026")
    assert outcome(checks) == {"complete": True, "schema": True, "verbatim": False}
    assert "lines.1" in checks[2].detail
    assert "2 May" not in checks[2].detail


@given(st.lists(st.text(min_size=1), max_size=5), st.text())
def test_values_cut_out_of_the_source_are_always_found(values: list[str], glue: str) -> None:
    source = glue.join(values)
    answer = json.dumps({"sender": None, "lines": values})
    assert outcome(check_answer(answer, "stop", SCHEMA, source))["verbatim"]
