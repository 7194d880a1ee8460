"""An answer as people read it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.web.pages.answer import (
    Row,
    in_words,
    mark_labels,
    pretty,
    read_rows,
)

LABELS = ("[NAME]", "[DATE]", "[ID]")
SCHEMA = {
    "type": "object",
    "properties": {
        "next_action": {"enum": ["call_back", "reply"]},
        "sender": {"type": ["string", "null"]},
        "needs_human": {"type": "boolean"},
        "due": {"type": "string", "title": "Due on"},
    },
}

texts = st.lists(st.one_of(st.sampled_from(LABELS), st.text(max_size=12))).map("".join)


@given(texts)
def test_marking_labels_changes_no_character(text: str) -> None:
    assert "".join(piece.text for piece in mark_labels(text, LABELS)) == text


@given(texts)
def test_every_declared_label_is_marked_and_nothing_else(text: str) -> None:
    pieces = mark_labels(text, LABELS)
    assert all((piece.text in LABELS) == (piece.colour > 0) for piece in pieces)
    marked = sum(piece.colour > 0 for piece in pieces)
    assert marked == sum(text.count(label) for label in LABELS)


def test_each_label_keeps_one_colour_and_a_seventh_starts_again() -> None:
    labels = [f"[L{number}]" for number in range(7)]
    pieces = mark_labels("".join(labels), labels)
    assert [piece.colour for piece in pieces] == [1, 2, 3, 4, 5, 6, 1]


def test_the_longer_of_two_labels_wins() -> None:
    pieces = mark_labels("[ID] and [ID CARD]", ("[ID]", "[ID CARD]", "[ID CARD"))
    assert [piece.text for piece in pieces if piece.colour] == ["[ID]", "[ID CARD]"]


def test_a_task_without_labels_marks_nothing() -> None:
    assert [piece.colour for piece in mark_labels("[NAME]", ())] == [0]


def test_rows_come_in_the_order_of_the_schema_then_the_rest() -> None:
    answer = {"extra": 1, "needs_human": True, "sender": None, "next_action": "call_back"}
    assert read_rows(json.dumps(answer), SCHEMA) == [
        Row("Next action", "Call back"),
        Row("Sender", "Not stated", stated=False),
        Row("Needs human", "Yes"),
        Row("Extra", "1"),
    ]


def test_a_title_in_the_schema_is_the_label_and_free_text_stays_to_the_letter() -> None:
    assert read_rows('{"due": "by_noon"}', SCHEMA) == [Row("Due on", "by_noon")]


def test_lists_of_texts_are_joined_and_other_values_stay_json() -> None:
    rows = read_rows('{"a": ["x", "y"], "b": {"c": [1]}, "d": false}', None)
    assert rows == [Row("A", "x, y"), Row("B", '{"c": [1]}'), Row("D", "No")]


def test_an_answer_that_is_no_object_has_no_rows() -> None:
    assert read_rows('{"cut": "in the mid', SCHEMA) is None
    assert read_rows("[1, 2]", SCHEMA) is None


def test_pretty_json_keeps_the_value_and_leaves_other_text_alone() -> None:
    assert json.loads(pretty('{"a":"ü"}')) == {"a": "ü"}
    assert "ü" in pretty('{"a":"ü"}')
    assert pretty("not {json") == "not {json"


def test_identifiers_read_as_words() -> None:
    assert in_words("next_action") == "Next action"
    assert in_words("") == ""
