"""Names of people: written lists of many origins, and names composed of syllables.

Half of the names are composed, so that the model reads the context instead of learning a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from models.demo.recipe.banks import bank

BANK = bank("people")


@dataclass(frozen=True)
class Person:
    """A made-up person: the parts of the name and the title."""

    first: str
    last: str
    title: str


def _syllables(rng: Random, count: int) -> str:
    parts = []
    for index in range(count):
        parts.append(rng.choice(BANK["onsets"]) + rng.choice(BANK["vowels"]))
        if rng.random() < (0.55 if index == count - 1 else 0.2):
            parts.append(rng.choice(BANK["codas"]))
    return "".join(parts)


def pseudo_word(rng: Random) -> str:
    """A lower-case word that means nothing; used as filler that must be copied."""
    return _syllables(rng, rng.choice((1, 2, 2, 3)))


def first_name(rng: Random) -> str:
    """A first name, written or composed, now and then double."""
    if rng.random() < 0.55:
        name = rng.choice(BANK["first"])
    else:
        name = _syllables(rng, rng.choice((1, 2, 2, 3))).title()
    if rng.random() < 0.05:
        name += rng.choice(("-", " ")) + rng.choice(BANK["first"])
    return name


def last_name(rng: Random) -> str:
    """A last name, written or composed, now and then with a particle or double."""
    if rng.random() < 0.5:
        name = rng.choice(BANK["last"])
    else:
        name = _syllables(rng, rng.choice((1, 1, 2))).title()
        if rng.random() < 0.6:
            name += rng.choice(BANK["surname_ends"])
    chance = rng.random()
    if chance < 0.06:
        particle = rng.choice(BANK["particles"])
        name = particle + ("" if particle[-1] in "'-c " else " ") + name
    elif chance < 0.1:
        name += "-" + rng.choice(BANK["last"])
    return name


def person(rng: Random) -> Person:
    """Draw a person."""
    return Person(first_name(rng), last_name(rng), rng.choice(BANK["titles"]))


def full_name(rng: Random, who: Person) -> str:
    """One of the ways to write the whole name, without the title."""
    roll = rng.random()
    if roll < 0.66:
        return f"{who.first} {who.last}"
    if roll < 0.76:
        return f"{who.first[0]}. {who.last}"
    if roll < 0.84:
        return f"{who.first} {rng.choice('ABCDEFGHJKLMNPRSTW')}. {who.last}"
    if roll < 0.9:
        return f"{who.first} {first_name(rng)} {who.last}"
    if roll < 0.95:
        return (
            f"{who.first} {who.last}".upper() if rng.random() < 0.2 else who.first + " " + who.last
        )
    if roll < 0.98:
        return f"{who.last}, {who.first}"
    return f"{who.last.upper()}, {who.first}"
