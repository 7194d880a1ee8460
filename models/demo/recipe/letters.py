"""Extract examples: a letter put together from blocks, and the facts in it word for word."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from models.demo.recipe import identifiers, people, prose
from models.demo.recipe.banks import bank
from models.demo.recipe.notes import Scene, organisation
from models.demo.recipe.templates import plain, spin, typo

BANK = bank("letters")
PROSE_SHARE = 0.3
"""Of the fillers: sentences of the grammar."""
FIELDS = ("sender", "recipient", "date", "reference", "amount", "due_date", "phone")


class Letter:
    """The facts of one letter, drawn before it is written."""

    def __init__(self, rng: Random) -> None:
        """Draw the facts."""
        self.rng = rng
        self.scene = Scene(rng)
        to = self.scene.main
        self.facts: dict[str, str | None] = dict.fromkeys(FIELDS)
        personal = rng.random() < 0.15
        self.facts["sender"] = (
            people.full_name(rng, self.scene.staff) if personal else organisation(rng)
        )
        if rng.random() < 0.88:
            self.facts["recipient"] = rng.choice(
                (
                    f"{to.title} {to.last}",
                    f"{to.title} {to.last}",
                    f"{to.title} {to.first} {to.last}",
                    f"{to.first} {to.last}",
                    organisation(rng) if rng.random() < 0.4 else to.first,
                )
            )
        self._maybe("date", 0.92, lambda: identifiers.date(rng, recent=True))
        self._maybe(
            "reference",
            0.75,
            lambda: identifiers.identifier(
                rng, rng.choice(("reference", "reference", "claim", "policy", "record"))
            ),
        )
        self._maybe("amount", 0.72, lambda: identifiers.amount(rng))
        self._maybe("due_date", 0.55, lambda: identifiers.date(rng, recent=True))
        self._maybe("phone", 0.65, lambda: identifiers.phone(rng))
        if self.facts["due_date"] == self.facts["date"]:
            self.facts["due_date"] = None
        self.personal = personal
        self.unheaded = rng.random() < (0.6 if personal else 0.12)
        """The sender stands in the signature only."""
        self.in_body = {field for field in ("date", "reference") if rng.random() < 0.25}
        """Facts that stand in a sentence, not in a line of their own."""

    def _maybe(self, field: str, chance: float, draw: Callable[[], str]) -> None:
        if self.rng.random() < chance:
            self.facts[field] = draw()

    def heads(self, field: str) -> bool:
        """Whether a fact has a line of its own above the letter."""
        return self.facts[field] is not None and field not in self.in_body

    def filler(self) -> str:
        """A sentence that holds none of the facts; a second amount would be a riddle."""
        if self.rng.random() >= PROSE_SHARE:
            return self.line(BANK["fillers"])
        return prose.plain_sentence(
            self.rng,
            lambda field: ("a sum", None) if field == "amount" else self.scene.supply(field),
        )

    def line(self, bank: list[str]) -> str:
        """One filled template; `@field` stands for a fact of the letter."""
        text = plain(self.rng, self.rng.choice(bank), self.scene.supply)
        for field in sorted(FIELDS, key=len, reverse=True):
            text = text.replace(f"@{field}", self.facts[field] or "")
        return text


def _head(rng: Random, letter: Letter) -> list[str]:
    facts = letter.facts
    lines = [] if letter.unheaded else [facts["sender"] or ""]
    if lines and not letter.personal and rng.random() < 0.4:
        lines[0] += rng.choice((", ", "\n", " - ", " | ")) + rng.choice(BANK["departments"])
    if lines and rng.random() < 0.45:
        lines.append(identifiers.address(rng, lines=rng.random() < 0.6))
    extras = []
    if facts["phone"] and rng.random() < 0.4:
        extras.append(letter.line(BANK["phone_heads"]))
    if rng.random() < 0.15:
        extras.append(letter.line(["{email2}", "E-mail: {email2}"]))
    block = []
    if facts["recipient"] is not None and rng.random() < 0.45:
        prefix = rng.choice(("", "", "", "To: ", "To ", "For: "))
        block = [
            prefix + str(facts["recipient"]),
            identifiers.address(rng, lines=rng.random() < 0.7),
        ]
    dated = [letter.line(BANK["date_lines"])] if letter.heads("date") else []
    referenced = [letter.line(BANK["reference_lines"])] if letter.heads("reference") else []
    if rng.random() < 0.12:
        referenced.append(
            letter.line(["Your ref: {nid}", "Your letter of {date}", "Your reference: {word}"])
        )
    groups = [extras, block, dated, referenced]
    if rng.random() < 0.5:
        rng.shuffle(groups)
    return lines + _spaced(rng, groups)


def _spaced(rng: Random, groups: list[list[str]]) -> list[str]:
    """The lines of the groups, with an empty line before some of them."""
    lines: list[str] = []
    for group in filter(None, groups):
        if rng.random() < 0.35:
            lines.append("")
        lines.extend(group)
    return lines


def _greeting(rng: Random, letter: Letter) -> str:
    to = letter.facts["recipient"]
    if to is None:
        return rng.choice(BANK["blank_greetings"])
    who = letter.scene.main
    if to == f"{who.title} {who.first} {who.last}" and rng.random() < 0.6:
        to = f"{who.title} {who.last}"
    return spin(rng, rng.choice(BANK["named_greetings"])).replace("@recipient", to)


def _body(rng: Random, letter: Letter) -> str:
    facts = letter.facts
    sentences = [letter.line(BANK["openers"])] if rng.random() < 0.7 else []
    if facts["amount"] and facts["due_date"] and rng.random() < 0.6:
        sentences.append(letter.line(BANK["amount_due"]))
    else:
        if facts["amount"]:
            sentences.append(letter.line(BANK["amount"]))
        if facts["due_date"]:
            sentences.append(letter.line(BANK["due"]))
    for field in sorted(letter.in_body):
        if facts[field]:
            sentences.insert(
                rng.randint(0, len(sentences)), letter.line(BANK[f"{field}_sentences"])
            )
    for _ in range(rng.choices((0, 1, 2, 4), (30, 35, 25, 10))[0]):
        sentences.insert(rng.randint(0, len(sentences)), letter.filler())
    return rng.choice((" ", " ", "\n", "\n\n")).join(sentences)


def _signature(rng: Random, letter: Letter) -> str:
    """Who signs; the sender too where no head names it, and now and then in any case."""
    sender = str(letter.facts["sender"])
    if letter.personal:
        return sender
    signer = rng.choice((people.full_name(rng, letter.scene.other), "", "Customer Service"))
    if letter.unheaded or rng.random() < 0.15:
        return f"{signer}\n{sender}".strip()
    return signer


def extract_example(rng: Random) -> tuple[str, str]:
    """A letter and its JSON facts."""
    letter = Letter(rng)
    head = "\n".join(_head(rng, letter))
    parts = [head, _greeting(rng, letter), _body(rng, letter)]
    facts = letter.facts
    if facts["phone"] and facts["phone"] not in head:
        parts.append(letter.line(BANK["phone_lines"]))
    close = rng.choice(BANK["closings"])
    parts.append(f"{close}\n{_signature(rng, letter)}".strip())
    text = rng.choice(("\n\n", "\n\n", "\n")).join(part for part in parts if part).strip()
    if rng.random() < 0.15:
        text = _damaged(rng, text, [value for value in facts.values() if value])
    missing = [value for value in facts.values() if value and value not in text]
    if missing:  # a salutation without name, or a fact that typos destroyed
        facts = {key: None if value in missing else value for key, value in facts.items()}
    return text, json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def _damaged(rng: Random, text: str, kept: list[str]) -> str:
    """Typos everywhere except in the facts."""
    for index, value in enumerate(kept):
        text = text.replace(value, chr(0xE000 + index))
    text = typo(rng, text, rng.choice((0.01, 0.03)))
    for index, value in enumerate(kept):
        text = text.replace(chr(0xE000 + index), value)
    return text
