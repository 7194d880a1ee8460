"""Which JSON Schemas can be enforced: everything else is refused by name, never ignored.

Imports neither llama.cpp nor a model, so that a schema can be checked where it is declared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft7Validator, Draft202012Validator, validator_for
from llguidance import LLMatcher

from appliance.engine.errors import BadRequestError
from appliance.engine.options import LIMITS

_ENFORCED = frozenset(
    (
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "minProperties",
        "maxProperties",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "definitions",
    )
)
_NOTES = frozenset(
    (
        "title",
        "description",
        "default",
        "examples",
        "$comment",
        "$schema",
        "$id",
        "deprecated",
        "readOnly",
        "writeOnly",
    )
)
_SCHEMA_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_SCHEMA_LISTS = frozenset({"prefixItems", "anyOf", "oneOf", "allOf"})
_SCHEMAS = frozenset({"items", "additionalProperties"})
_DEPTH = 64


def check_schema(schema: object, param: str = "schema") -> str:
    """Return the grammar of a schema that the engine can enforce in full.

    Args:
        schema: JSON Schema, draft 2020-12 or 7, an object.
        param: name of the field that holds it, for the error.

    Raises:
        BadRequestError: it is no valid schema, too large, or uses a keyword or a combination that
            can not be enforced; the message names place and keyword.
    """
    if not isinstance(schema, Mapping):
        raise BadRequestError(param, "The schema must be a JSON object.", "invalid_schema")
    if len(json.dumps(schema)) > LIMITS.schema_bytes:
        raise BadRequestError(
            param, f"The schema is longer than {LIMITS.schema_bytes} bytes.", "invalid_schema"
        )
    for place, keyword in _unknown_keywords(schema, "", 0):
        raise BadRequestError(
            param,
            f"The schema keyword {keyword!r} at {place or '/'} can not be enforced; remove it.",
            "unsupported_schema",
        )
    _check_form(schema, param)
    grammar = LLMatcher.grammar_from_json_schema(
        json.dumps(schema), overrides={"whitespace_flexible": False}
    )
    fault = LLMatcher.validate_grammar(grammar)
    if fault and not fault.startswith("WARNING"):
        raise BadRequestError(
            param, f"The schema can not be enforced: {fault[:300]}", "unsupported_schema"
        )
    return grammar


def validator(schema: Mapping[str, Any]) -> Validator:
    """The independent check of a finished answer; `schema` has passed `check_schema`."""
    return _dialect(schema)(schema)


def _dialect(schema: Mapping[str, Any]) -> type[Validator]:
    found: type[Validator] = validator_for(schema, default=Draft202012Validator)
    return found


def _check_form(schema: Mapping[str, Any], param: str) -> None:
    named = schema.get("$schema")
    dialect = _dialect(schema)
    if named is not None and dialect not in (Draft202012Validator, Draft7Validator):
        raise BadRequestError(
            f"{param}.$schema", "Only drafts 2020-12 and 7 are supported.", "unsupported_schema"
        )
    try:
        dialect.check_schema(dict(schema))
    except SchemaError as error:
        place = "/" + "/".join(str(part) for part in error.absolute_path)
        raise BadRequestError(
            param, f"No valid JSON Schema at {place}: {error.message[:300]}", "invalid_schema"
        ) from error


def _unknown_keywords(schema: object, place: str, depth: int) -> Iterator[tuple[str, str]]:
    """Place (a JSON pointer) and name of every keyword that is not enforced."""
    if not isinstance(schema, Mapping):
        return
    if depth > _DEPTH:
        yield place, f"nesting deeper than {_DEPTH}"
        return
    for keyword, value in schema.items():
        if keyword not in _ENFORCED and keyword not in _NOTES:
            yield place, str(keyword)
        elif keyword == "$ref" and not str(value).startswith("#"):
            yield place, "$ref out of the schema"
        else:
            for step, part in _parts(keyword, value):
                yield from _unknown_keywords(part, f"{place}/{keyword}{step}", depth + 1)


def _parts(keyword: str, value: object) -> Iterator[tuple[str, object]]:
    """Subschemas under one keyword."""
    if keyword in _SCHEMA_MAPS and isinstance(value, Mapping):
        yield from ((f"/{name}", part) for name, part in value.items())
    elif keyword in _SCHEMA_LISTS and isinstance(value, list):
        yield from ((f"/{number}", part) for number, part in enumerate(value))
    elif keyword in _SCHEMAS:
        yield "", value
