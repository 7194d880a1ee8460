"""A small template language: `<a|b>` picks one, `{field}` is asked from a supplier."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

CHOICE = re.compile(r"<([^<>]*)>")
FIELD = re.compile(r"\{(\w+)\}")

Piece = tuple[str, str | None]
"""A stretch of text and the label that replaces it, or None where it is copied."""


def spin(rng: Random, template: str) -> str:
    """Resolve every `<a|b|c>`, innermost first."""
    while True:
        resolved = CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), template)
        if resolved == template:
            return resolved
        template = resolved


def pieces(rng: Random, template: str, supply: Callable[[str], Piece]) -> list[Piece]:
    """Expand a template into labelled pieces."""
    parts = FIELD.split(spin(rng, template))
    result: list[Piece] = []
    for index, part in enumerate(parts):
        if index % 2:
            result.append(supply(part))
        elif part:
            result.append((part, None))
    return result


def plain(rng: Random, template: str, supply: Callable[[str], Piece]) -> str:
    """Expand a template into text only."""
    return "".join(text for text, _ in pieces(rng, template, supply))


def typo(rng: Random, text: str, rate: float) -> str:
    """Damage words: swapped, dropped, doubled or neighbouring letters."""
    chars = list(text)
    for index in range(1, len(chars) - 1):
        if not (chars[index].isalpha() and chars[index - 1].isalpha()) or rng.random() > rate:
            continue
        kind = rng.randrange(4)
        if kind == 0:
            chars[index], chars[index - 1] = chars[index - 1], chars[index]
        elif kind == 1:
            chars[index] = ""
        elif kind == 2:
            chars[index] += chars[index]
        else:
            chars[index] = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return "".join(chars)
