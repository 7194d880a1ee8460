"""Running prose by a small grammar over the lexicon: it means nothing and reads like English.

The sentence banks say what notes are about; this says which words are only words. Without it the
model has seen so few of them that it takes every other word for a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from models.demo.recipe import words
from models.demo.recipe.banks import bank
from models.demo.recipe.templates import FIELD, Piece, spin

GRAMMAR = bank("prose")
ARTICLE = re.compile(r"(?<!\w)([Aa]) $")


def expand(rng: Random, symbol: str, supply: Callable[[str], Piece]) -> list[Piece]:
    """Expand a symbol of the grammar; fields that are neither symbol nor word are asked for."""
    result: list[Piece] = []
    for index, part in enumerate(FIELD.split(spin(rng, rng.choice(GRAMMAR[symbol])))):
        if not index % 2:
            result.append((part, None))
        elif part in GRAMMAR:
            result.extend(expand(rng, part, supply))
        elif (found := words.word(rng, part)) is not None:
            result.append((found, None))
        else:
            result.append(supply(part))
    return [piece for piece in result if piece[0]]


def _with_articles(parts: list[Piece]) -> list[Piece]:
    """`a` before a vowel becomes `an`."""
    result = []
    for index, (text, label) in enumerate(parts):
        after = parts[index + 1][0] if index + 1 < len(parts) else ""
        if label is None and ARTICLE.search(text) and after[:1].lower() in set("aeiou"):
            text = text[:-1] + "n "
        result.append((text, label))
    return result


def sentence(rng: Random, supply: Callable[[str], Piece], symbol: str = "sentence") -> list[Piece]:
    """One sentence of the grammar, with a capital at its start."""
    parts = _with_articles(expand(rng, symbol, supply))
    text, label = parts[0]
    if label is None:
        parts[0] = (text[:1].upper() + text[1:], None)
    return parts


def plain_sentence(rng: Random, supply: Callable[[str], Piece]) -> str:
    """A sentence without anything that would be replaced."""
    return "".join(text for text, _ in sentence(rng, supply, "plain"))
