"""Single words of the lexicon, inflected, and words that no list has, with English endings."""

from __future__ import annotations

import re
from functools import cache
from random import Random

from models.demo.recipe import people
from models.demo.recipe.banks import bank

BANK = bank("words")
TOPICS = {"clinic": 4, "bank": 4, "insurer": 4, "office": 3, "home": 3, "street": 2, "abstract": 5}
DERIVED_SHARE = 0.05
SUFFIXES = {
    "noun": ["tion", "ment", "ness", "ity", "ance", "ence", "age", "ure", "ism", "ship", "itis"],
    "medical": ["oscopy", "ectomy", "ostomy", "graphy", "aemia", "algia", "opathy", "osis", "oma"],
    "adjective": ["able", "ible", "ful", "less", "ous", "al", "ive", "ic", "ary", "ish", "ed"],
    "adverb": ["ly", "ably", "ically", "fully", "wards"],
}
PREFIXES = ("", "", "", "un", "re", "pre", "over", "mis", "inter", "sub", "non-", "co-")
IRREGULAR_PLURALS = {"child": "children", "foot": "feet", "tooth": "teeth", "mouse": "mice"}


def plural(noun: str) -> str:
    """The plural of a countable noun."""
    for single, many in IRREGULAR_PLURALS.items():
        if noun.endswith(single):
            return noun.removesuffix(single) + many
    if noun.endswith("man") and not noun.endswith("human"):
        return noun[:-2] + "en"
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return noun + "es"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + "s"


def _doubled(base: str) -> str:
    """Base with its last consonant doubled where English does so before a vowel."""
    return base + base[-1] if re.search(r"^[^aeiou]*[aeiou][bdgklmnprt]$", base) else base


def third(base: str) -> str:
    """Third person singular."""
    return {"be": "is", "have": "has"}.get(base, plural(base))


def gerund(base: str) -> str:
    """The form in -ing."""
    if re.search(r"[^eoy]e$", base):
        return base[:-1] + "ing"
    return _doubled(base) + "ing"


def past(base: str) -> str:
    """Past of a regular verb."""
    if base.endswith("e"):
        return base + "d"
    if re.search(r"[^aeiou]y$", base):
        return base[:-1] + "ied"
    return _doubled(base) + "ed"


@cache
def forms(entry: str) -> dict[str, str]:
    """All forms of a verb entry: `ask`, `cheer up`, or an irregular `see saw seen`."""
    base, *rest = entry.split()
    simple, participle = rest if len(rest) == 2 else (past(base), past(base))
    after = f" {rest[0]}" if len(rest) == 1 else ""
    inflected = {
        "base": base,
        "past": simple,
        "pp": participle,
        "3": third(base),
        "ing": gerund(base),
    }
    return {name: form + after for name, form in inflected.items()}


def derived(rng: Random, kind: str) -> str:
    """A word that is in no list and still is plainly a word, not a name."""
    stem = people.pseudo_word(rng)
    if rng.random() < 0.5:
        stem = forms(rng.choice(BANK["verbs"]))["base"].rstrip("e")
    return rng.choice(PREFIXES) + stem + rng.choice(SUFFIXES[kind])


def noun(rng: Random) -> str:
    """A singular countable noun of some topic."""
    if rng.random() < DERIVED_SHARE:
        return derived(rng, rng.choice(("noun", "medical")))
    topic = rng.choices(list(TOPICS), list(TOPICS.values()))[0]
    return str(rng.choice(BANK["nouns"][topic]))


def proper(rng: Random, kind: str) -> str:
    """A capitalised word or phrase that names no person."""
    return str(rng.choice(BANK["proper"][kind]))


def word(rng: Random, field: str) -> str | None:
    """The word for a field of a grammar, or None where the field is not one of the lexicon's."""
    if field in BANK["proper"]:
        return proper(rng, field)
    group, _, form = field.partition("_")
    if group in ("verbs", "intransitive", "says") and form:
        return forms(rng.choice(BANK[group]))[form]
    if field == "n":
        return noun(rng)
    if field == "ns":
        return plural(noun(rng))
    if field in ("person", "persons"):
        one = str(rng.choice(BANK["nouns"]["people"]))
        return one if field == "person" else plural(one)
    if field in ("adj", "adv") and rng.random() < DERIVED_SHARE:
        return derived(rng, "adjective" if field == "adj" else "adverb")
    if field == "Word":
        return people.pseudo_word(rng).title()
    source = SINGLE.get(field)
    return None if source is None else str(rng.choice(BANK[source]))


SINGLE = {
    "adj": "adjectives",
    "adv": "adverbs",
    "phrase": "phrases",
    "starter": "starters",
    "conj": "conjunctions",
    "prep": "prepositions",
    "q": "quantities",
    "mass": "mass",
    "heading": "headings",
    "fragment": "line_fragments",
}
