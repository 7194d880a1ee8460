"""De-identify examples: notes of labelled pieces, so that answers are right by construction."""

from __future__ import annotations

from random import Random

from models.demo.recipe import identifiers, people, prose
from models.demo.recipe.banks import bank
from models.demo.recipe.templates import Piece, pieces, spin, typo

BANK = bank("notes")
LONG_SHARE = 0.04
PROSE_SHARE = 0.45
"""Of the sentences: by the grammar, not from the banks of the domain."""
ID_FIELDS = {
    "mrn": "record",
    "nid": "national",
    "policy": "policy",
    "claim": "claim",
    "account": "account",
    "card": "card",
    "ref": "reference",
}


class Scene:
    """The people and facts of one note; supplies the fields of its templates."""

    def __init__(self, rng: Random) -> None:
        """Draw the people of the note."""
        self.rng = rng
        self.main = people.person(rng)
        self.other = people.person(rng)
        self.staff = people.person(rng)

    def supply(self, field: str) -> Piece:
        """The piece for a template field."""
        rng = self.rng
        if field in ID_FIELDS:
            return identifiers.identifier(rng, ID_FIELDS[field]), "[ID]"
        sources = {
            "name": lambda: (people.full_name(rng, self.main), "[NAME]"),
            "last": lambda: (self.main.last, "[NAME]"),
            "first": lambda: (self.main.first, "[NAME]"),
            "name2": lambda: (people.full_name(rng, self.other), "[NAME]"),
            "last2": lambda: (self.other.last, "[NAME]"),
            "first2": lambda: (self.other.first, "[NAME]"),
            "staff": lambda: (people.full_name(rng, self.staff), "[NAME]"),
            "slast": lambda: (self.staff.last, "[NAME]"),
            "sfirst": lambda: (self.staff.first, "[NAME]"),
            "date": lambda: (identifiers.date(rng), "[DATE]"),
            "phone": lambda: (identifiers.phone(rng), "[PHONE]"),
            "address": lambda: (identifiers.address(rng), "[ADDRESS]"),
            "block": lambda: (identifiers.address(rng, lines=True), "[ADDRESS]"),
            "email": lambda: (identifiers.email(rng, self.main), "[EMAIL]"),
            "email2": lambda: (identifiers.email(rng, self.staff), "[EMAIL]"),
            "title": lambda: (self.main.title, None),
            "title2": lambda: (self.other.title, None),
        }
        if field in sources:
            return sources[field]()
        return self.neutral(field), None

    def neutral(self, field: str) -> str:
        """Text that looks like a fact but stays: amounts, doses, times, organisations …"""
        rng = self.rng
        if field == "amount":
            return identifiers.amount(rng)
        if field == "time":
            hour, minute = rng.randint(0, 23), rng.choice((0, 5, 10, 15, 20, 30, 40, 45, 50))
            return rng.choice(
                (
                    f"{hour:02}:{minute:02}",
                    f"{hour}.{minute:02}",
                    f"{hour % 12 + 1} {rng.choice('ap')}m",
                    f"{hour % 12 + 1}:{minute:02} {rng.choice('ap')}m",
                    f"{hour:02}{minute:02}h",
                )
            )
        if field == "num":
            return str(rng.choice((rng.randint(2, 9), rng.randint(10, 99), rng.randint(100, 400))))
        if field == "dec":
            return f"{rng.randint(0, 40)}.{rng.randint(0, 99)}"
        if field == "bp":
            return f"{rng.randint(95, 190)}/{rng.randint(50, 110)}"
        if field == "word":
            return people.pseudo_word(rng)
        if field == "drug":
            if rng.random() < 0.4:
                return people.pseudo_word(rng) + rng.choice(
                    ("ol", "ine", "pril", "statin", "cillin", "mab", "zole")
                )
            return rng.choice(BANK["drugs"])
        if field == "org":
            return organisation(rng)
        return rng.choice(BANK["neutral"][field])


def organisation(rng: Random) -> str:
    """A company, hospital or bank name; these stay in the text."""
    stem = (
        rng.choice(identifiers.BANK["streets"] + BANK["org_stems"])
        if rng.random() < 0.6
        else people.pseudo_word(rng).title()
    )
    if rng.random() < 0.2:
        stem = rng.choice(("St ", "North ", "South ", "Royal ", "First ", "New ")) + stem
    return stem + " " + rng.choice(BANK["org_kinds"])


def _sentences(rng: Random, scene: Scene, domain: str, count: int) -> list[list[Piece]]:
    pools = (BANK[domain], BANK["anywhere"], BANK["safe"])
    result = []
    for _ in range(count):
        if rng.random() < PROSE_SHARE:
            symbol = rng.choice(("sentence", "sentence", "plain"))
            result.append(prose.sentence(rng, scene.supply, symbol))
            continue
        pool = pools[rng.choices((0, 1, 2), (5, 3, 2))[0]]
        result.append(pieces(rng, rng.choice(pool), scene.supply))
    return result


def _clean(rng: Random, scene: Scene) -> list[Piece]:
    """Sentences and fragments in which there is nothing to replace."""
    lines = [
        prose.sentence(rng, scene.supply, "plain")
        if rng.random() < PROSE_SHARE
        else pieces(rng, rng.choice(BANK["safe"]), scene.supply)
        for _ in range(rng.randint(1, 5))
    ]
    return _joined(lines, rng.choice((" ", " ", "\n")))


def _joined(blocks: list[list[Piece]], separator: str) -> list[Piece]:
    result: list[Piece] = []
    for index, block in enumerate(blocks):
        if index:
            result.append((separator, None))
        result.extend(block)
    return result


def _soup(rng: Random, scene: Scene) -> list[Piece]:
    """Meaningless words and figures around at most a few cued entities: teaches exact copying."""
    result: list[Piece] = []
    for _ in range(rng.randint(4, 24)):
        roll = rng.random()
        if roll < 0.72:
            result.append((people.pseudo_word(rng), None))
        elif roll < 0.84:
            result.append(
                (
                    scene.neutral(
                        rng.choice(("num", "dec", "time", "amount", "drug", "unit", "bp"))
                    ),
                    None,
                )
            )
        else:
            cue = rng.choice(BANK["cues"])
            result.extend(pieces(rng, cue, scene.supply))
        result.append((rng.choice((" ", " ", " ", " ", ", ", ". ", "\n", " - ", "; ")), None))
    return result[:-1]


def _form(rng: Random, scene: Scene, domain: str) -> list[Piece]:
    """Header lines `Label: value`, a table or a list."""
    count = rng.randint(2, 7)
    own = rng.sample(BANK["rows"][domain], (count + 1) // 2)
    rows = own + rng.sample(BANK["rows"]["any"], count // 2)
    rng.shuffle(rows)
    colon = rng.choice((": ", ": ", ":", " - ", "\t", " | ", ":  ", " = "))
    mark = rng.choice(("", "", "", "- ", "* ", "| ", "• "))
    upper = rng.random() < 0.2
    result: list[Piece] = []
    for index, (label, template) in enumerate(rows):
        head = spin(rng, label)
        separator = "\n" if index else ""
        result.append((separator + mark + (head.upper() if upper else head) + colon, None))
        result.extend(pieces(rng, template, scene.supply))
    return result


def _table(rng: Random, scene: Scene) -> list[Piece]:
    bar = rng.choice((" | ", ";", ",", "\t"))
    columns = rng.sample(BANK["columns"], rng.randint(3, 4))
    result: list[Piece] = [(bar.join(title for title, _ in columns), None)]
    for _ in range(rng.randint(1, 4)):
        row = Scene(rng)
        result.append(("\n", None))
        result.extend(_joined([pieces(rng, template, row.supply) for _, template in columns], bar))
    return result


def _mail(rng: Random, scene: Scene, domain: str) -> list[Piece]:
    """A letter, an e-mail or a chat message with greeting and signature."""
    parts = []
    if rng.random() < 0.4:
        parts.append(pieces(rng, rng.choice(BANK["mail_heads"]), scene.supply))
    parts.append(pieces(rng, rng.choice(BANK["greetings"]), scene.supply))
    body = _sentences(rng, scene, domain, rng.randint(1, 4))
    parts.append(_joined(body, " "))
    parts.append(pieces(rng, rng.choice(BANK["signatures"]), scene.supply))
    return _joined(parts, rng.choice(("\n", "\n\n", "\n")))


def _log(rng: Random, scene: Scene, domain: str) -> list[Piece]:
    """Dated entries under each other."""
    entries = []
    for sentence in _sentences(rng, scene, domain, rng.randint(2, 4)):
        head = pieces(rng, rng.choice(BANK["log_heads"]), scene.supply)
        entries.append(head + sentence)
    return _joined(entries, "\n")


def _recase(rng: Random, note: list[Piece]) -> list[Piece]:
    roll = rng.random()
    if roll < 0.05:
        return [(text.lower(), label) for text, label in note]
    if roll < 0.09:
        return [(text.upper(), label) for text, label in note]
    if roll < 0.22:
        rate = rng.choice((0.01, 0.03))
        return [(typo(rng, text, rate) if label is None else text, label) for text, label in note]
    return note


def note_pieces(rng: Random, *, short: bool = False) -> list[Piece]:
    """The labelled pieces of one note, now and then of several notes under each other."""
    if not short and rng.random() < LONG_SHARE:
        count = rng.randint(2, 7)
        return _joined([_one_note(rng) for _ in range(count)], rng.choice(("\n\n", "\n")))
    return _one_note(rng, short=short)


def _one_note(rng: Random, *, short: bool = False) -> list[Piece]:
    scene = Scene(rng)
    domain = rng.choice(("clinic", "bank", "insurer"))
    if short:
        return (
            _soup(rng, scene)[:30]
            if rng.random() < 0.5
            else _joined(_sentences(rng, scene, domain, 1), " ")
        )
    kind = rng.choices(
        ("prose", "form", "both", "mail", "log", "table", "soup", "clean"),
        (38, 9, 13, 14, 8, 3, 6, 9),
    )[0]
    if kind == "prose":
        note = _joined(
            _sentences(rng, scene, domain, rng.randint(1, 6)),
            rng.choice((" ", " ", " ", "\n", "\n- ")),
        )
    elif kind == "form":
        note = _form(rng, scene, domain)
    elif kind == "both":
        body = _joined(_sentences(rng, scene, domain, rng.randint(1, 4)), " ")
        note = _joined([_form(rng, scene, domain), body], rng.choice(("\n\n", "\n")))
    elif kind == "mail":
        note = _mail(rng, scene, domain)
    elif kind == "log":
        note = _log(rng, scene, domain)
    elif kind == "table":
        note = _table(rng, scene)
    elif kind == "soup":
        note = _soup(rng, scene)
    else:
        note = _clean(rng, scene)
    return _recase(rng, note)


def deidentify_example(rng: Random, *, short: bool = False) -> tuple[str, str]:
    """A note and the same note with labels."""
    note = note_pieces(rng, short=short)
    return "".join(text for text, _ in note), "".join(label or text for text, label in note)
