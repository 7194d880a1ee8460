"""An answer as people read it: rows of a JSON answer, labels marked in a text. No I/O here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_COLOURS: Final = 6
_NOT_STATED: Final = "Not stated"


@dataclass(frozen=True)
class Piece:
    """A run of text; `colour` is 1 to 6 for a label, 0 for plain text."""

    text: str
    colour: int = 0


@dataclass(frozen=True)
class Row:
    """One field of a JSON answer; `stated` is False for null."""

    label: str
    value: str
    stated: bool = True


def mark_labels(text: str, labels: Sequence[str]) -> list[Piece]:
    """Cut `text` at the labels that the task declares, each with a colour of its own.

    The pieces' texts joined are `text` again.
    """
    if not labels:
        return [Piece(text)]
    longest_first = sorted(set(labels), key=len, reverse=True)
    pattern = "(" + "|".join(re.escape(label) for label in longest_first) + ")"
    colours = {label: number % _COLOURS + 1 for number, label in enumerate(labels)}
    return [Piece(part, colours.get(part, 0)) for part in re.split(pattern, text) if part]


def read_rows(text: str, schema: Mapping[str, Any] | None) -> list[Row] | None:
    """The fields of a JSON answer in the schema's order; None if it is not a JSON object."""
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    properties: Mapping[str, Any] = (schema or {}).get("properties", {})
    names = [*(name for name in properties if name in answer), *_extra(answer, properties)]
    return [_row(name, answer[name], properties.get(name, {})) for name in names]


def pretty(text: str) -> str:
    """JSON indented by two spaces; a text that is no JSON stays as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def in_words(identifier: str) -> str:
    """`next_action` as `Next action`."""
    words = identifier.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _extra(answer: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in answer if name not in properties)


def _row(name: str, value: object, rules: Mapping[str, Any]) -> Row:
    label = str(rules.get("title") or in_words(name))
    if value is None or value == "":
        return Row(label, _NOT_STATED, stated=False)
    return Row(label, _value(value, rules))


def _value(value: object, rules: Mapping[str, Any]) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, str):
        # A choice is an identifier of ours; free text is shown to the letter.
        return in_words(value) if "enum" in rules else value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)
