"""What the workloads send: texts of exact lengths, a form of eight fields, a note to copy."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

_COMMON = (
    "the of and to in is it was for on that with as at by this from are account card letter call"
    " note bank office morning payment street number patient visit doctor house week month report"
    " answer question service customer people time day year hand place case system program water"
    " money change point home room family story result book side head school group problem fact"
)
_WORDS = _COMMON.split()
_ROOM = 8  # tokens before the end from which on every word is counted in its place

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "category": {"enum": ["billing", "fraud", "access", "card_lost", "loan", "general"]},
        "urgency": {"enum": ["low", "normal", "high"]},
        "product": {"enum": ["account", "card", "loan", "mortgage", "policy", "portal", "none"]},
        "next_action": {"enum": ["block_card", "investigate", "send_form", "call_back", "reply"]},
        "language": {"enum": ["en", "de", "fr", "es"]},
        "needs_human": {"type": "boolean"},
        "days": {"type": "integer", "minimum": 0, "maximum": 14},
        "summary": {"type": "string", "maxLength": 24},
    },
    "required": [
        "category",
        "urgency",
        "product",
        "next_action",
        "language",
        "needs_human",
        "days",
        "summary",
    ],
    "additionalProperties": False,
}

NOTES = (
    "Mrs {name} Brandt (MRN 4471{number}, born 03/11/1958) was seen on 12 March 2026 and lives at"
    " 18 Harbour Lane, Leeds LS2 7EQ. She asked us to call her on 0113 496 {number} or write to"
    " h.brandt@mailbox.example.",
    "Mr {name} Osei (MRN 9930{number}, born 21/07/1971) came to the clinic on 4 May 2026 with his"
    " wife. He can be reached on 0161 555 {number}; letters go to 7 Mill Road, York YO1 9AB.",
)
_NAMES = ("Helena", "Martha", "Edith", "Oscar", "Victor", "Samuel", "Irene", "Laura")


def fitted(count: Callable[[str], int], length: int, seed: str) -> str:
    """A text of exactly `length` tokens (or one less where no word fits), by its `seed`.

    Args:
        count: the tokens of a text.
    """
    draw = random.Random(seed)  # noqa: S311 - a choice of words
    # Most vocabularies split at blanks, so a word costs about the same everywhere.
    costs = {word: count(f"a {word}") - count("a") for word in _WORDS}
    words, total = ["a"], count("a")
    while total < length - _ROOM:
        words.append(draw.choice(_WORDS))
        total += costs[words[-1]]
    while (left := length - count(" ".join(words))) < 0:
        words.pop()
    while left > 0 and (word := _next(draw, costs, left)):
        words.append(word)
        left = length - count(" ".join(words))
    return " ".join(words)


def _next(draw: random.Random, costs: dict[str, int], left: int) -> str | None:
    """A word of at most `left` tokens."""
    fits = [word for word in _WORDS if costs[word] <= left]
    return draw.choice(fits) if fits else None


def note(seed: str) -> str:
    """A clinical note of an invented person."""
    draw = random.Random(seed)  # noqa: S311 - a choice of words
    name, number = draw.choice(_NAMES), draw.randrange(100, 1000)
    return draw.choice(NOTES).format(name=name, number=number)


def bare_grammar(schema: dict[str, Any]) -> str:
    """The GBNF grammar of a form without any white space between its tokens.

    Args:
        schema: an object whose fields are all required: enumerations of strings, booleans,
            integers between bounds, strings of bounded length.
    """
    fields = []
    for number, (name, field) in enumerate(schema["properties"].items()):
        opening = ("," if number else "{") + json.dumps(name) + ":"
        fields.append(f"{json.dumps(opening)} {_value(field)}")
    return f'root ::= {" ".join(fields)} "}}"\n'


def _value(field: dict[str, Any]) -> str:
    if "enum" in field:
        return _either(json.dumps(value) for value in field["enum"])
    if field["type"] == "boolean":
        return _either(("true", "false"))
    if field["type"] == "integer":
        return _either(map(str, range(field["minimum"], field["maximum"] + 1)))
    plain = r'[^"\\\x00-\x1f]'
    return f'"\\"" {plain}{{0,{field["maxLength"]}}} "\\""'


def _either(texts: Iterable[str]) -> str:
    return f"({' | '.join(json.dumps(text) for text in texts)})"
