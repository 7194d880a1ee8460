"""A schema is enforced in full or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.engine.errors import BadRequestError, SchemaViolationError
from appliance.engine.grammar import Grammars, GrammarState
from appliance.engine.schema import check_schema
from appliance.engine.vocab import Vocabulary

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["alpha", "beta"]},
    },
    "required": ["name", "kind"],
    "additionalProperties": False,
}


def nested(keyword: str, value: object) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"list": {"type": "array", "items": {"type": "string", keyword: value}}},
    }


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("not", {}),
        ("if", {}),
        ("contains", {}),
        ("uniqueItems", True),
        ("propertyNames", {}),
        ("dependentRequired", {}),
        ("unevaluatedProperties", False),
        ("contentEncoding", "base64"),
        ("nullable", True),
        ("x-guidance", {}),
        ("foo", 1),
        ("$dynamicRef", "#a"),
    ],
)
def test_a_keyword_that_can_not_be_enforced_is_named(keyword: str, value: object) -> None:
    with pytest.raises(BadRequestError, match=keyword.replace("$", r"\$")) as caught:
        check_schema(nested(keyword, value), "response_format")
    assert caught.value.param == "response_format"
    assert "/properties/list/items" in caught.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objec"},
        {"type": "string", "minLength": -1},
        {"type": "string", "format": "shoe-size"},
        {"$ref": "http://elsewhere/schema"},
        {"$schema": "http://json-schema.org/draft-03/schema#", "type": "string"},
        {"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 2}]},
        {"anyOf": []},
        {"type": "string", "pattern": "("},
        [],
        "object",
        {"enum": ["x" * 200_000]},
    ],
)
def test_a_faulty_or_impossible_schema_is_a_400(schema: object) -> None:
    with pytest.raises(BadRequestError):
        check_schema(schema)


def test_nesting_is_bounded() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(BadRequestError, match="nesting"):
        check_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        PERSON,
        {"type": "object"},
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "null"}]},
        {"$defs": {"x": {"const": 1}}, "type": "array", "items": {"$ref": "#/$defs/x"}},
        {"type": "string", "format": "date", "title": "t", "description": "d"},
    ],
)
def test_what_can_be_enforced_is_accepted(schema: dict[str, Any]) -> None:
    assert check_schema(schema)


def test_keys_are_forced_and_white_space_is_off(grammars: Grammars, vocabulary: Vocabulary) -> None:
    state = GrammarState(grammars.compile(PERSON, "schema"), vocabulary.size)
    forced = state.forced()
    text = b"".join(map(vocabulary.piece, forced)).decode()
    assert text.startswith('{"name"')


def test_a_constant_is_forced_to_its_end(grammars: Grammars, vocabulary: Vocabulary) -> None:
    state = GrammarState(grammars.compile({"const": "yes"}, "schema"), vocabulary.size)
    text = b"".join(map(vocabulary.piece, state.forced())).decode()
    assert json.loads(text) == "yes"
    assert state.finished


def test_a_schema_is_compiled_once(grammars: Grammars) -> None:
    assert grammars.compile(PERSON, "schema") is grammars.compile(dict(PERSON), "schema")


@pytest.mark.parametrize("text", ['{"name":"x"}', '{"name":1,"kind":"alpha"}', "{", ""])
def test_an_answer_that_breaks_its_schema_is_named_without_its_text(
    grammars: Grammars, text: str
) -> None:
    with pytest.raises(SchemaViolationError) as caught:
        grammars.compile(PERSON, "schema").validate(text)
    assert caught.value.code == "schema_violation"
    assert not text or text not in caught.value.message


def test_an_answer_that_keeps_its_schema_passes(grammars: Grammars) -> None:
    grammars.compile(PERSON, "schema").validate('{"name":"x","kind":"beta"}')
