"""Dates, identifiers, phone numbers, addresses and e-mail addresses in many national formats."""

from __future__ import annotations

from random import Random

from models.demo.recipe import people
from models.demo.recipe.banks import bank

BANK = bank("identifiers")
HOUSES = ("House", "Cottage", "Farm", "Court", "Lodge", "Mansions", "Building", "Tower", "Hall")


def digits(rng: Random, count: int) -> str:
    """A run of digits."""
    return "".join(rng.choice("0123456789") for _ in range(count))


def letters(rng: Random, count: int) -> str:
    """A run of capital letters."""
    return "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(count))


def fill(rng: Random, pattern: str) -> str:
    """Replace 9 by a digit, 8 by a non-zero digit, A by a capital letter, everything else stays."""
    swap = {
        "9": lambda: digits(rng, 1),
        "8": lambda: rng.choice("123456789"),
        "A": lambda: letters(rng, 1),
    }
    return "".join(swap[char]() if char in swap else char for char in pattern)


def _ordinal(day: int) -> str:
    if 10 <= day % 100 <= 20:
        return f"{day}th"
    return f"{day}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th') }"


def date(rng: Random, *, recent: bool = False) -> str:
    """A calendar date in one of about thirty spellings."""
    day, month = rng.randint(1, 28), rng.randint(1, 12)
    year = (
        rng.randint(2023, 2027)
        if recent
        else rng.choice((rng.randint(1930, 2012), rng.randint(2019, 2027)))
    )
    name = BANK["months"][month - 1]
    short = name[:3]
    forms = [
        f"{day} {name} {year}",
        f"{day} {name} {year}",
        f"{name} {day}, {year}",
        f"{year}-{month:02}-{day:02}",
        f"{day:02}/{month:02}/{year}",
        f"{day:02}/{month:02}/{year}",
        f"{day}/{month}/{year % 100:02}",
        f"{day}.{month}.{year}",
        f"{day:02}.{month:02}.{year}",
        f"{day}.{month}.{year % 100:02}",
        f"{day:02}-{month:02}-{year}",
        f"{day} {short} {year}",
        f"{day}-{short}-{year}",
        f"{short} {day}, {year}",
        f"{_ordinal(day)} {name} {year}",
        f"{_ordinal(day)} {name}",
        f"{name} {_ordinal(day)}",
        f"{name} {_ordinal(day)}, {year}",
        f"{day} {name}",
        f"{name} {day}",
        f"{_ordinal(day)} of {name}",
        f"{_ordinal(day)} of {name} {year}",
        f"{day} {short}",
        f"{short} {day}",
        f"{year}/{month:02}/{day:02}",
        f"{month:02}/{day:02}/{year}",
        f"{day}/{month}",
        f"{name} {year}",
        f"{day}{short.upper()}{year}",
        f"{day:02} {short.upper()} {year}",
        f"{day} {short} {year % 100:02}",
    ]
    if rng.random() < 0.06:
        foreign = rng.choice(BANK["foreign_months"])[month - 1]
        return rng.choice(
            (f"{day}. {foreign} {year}", f"{day} {foreign} {year}", f"{day} de {foreign} de {year}")
        )
    return rng.choice(forms)


def identifier(rng: Random, family: str) -> str:
    """An identifier of a family: record, national, policy, claim, account, card or reference."""
    if rng.random() < 0.12:
        return fill(rng, random_pattern(rng))
    return fill(rng, rng.choice(BANK["ids"][family]))


def random_pattern(rng: Random) -> str:
    """A pattern that is in no list, so that formats are not learnt by heart."""
    groups = [
        rng.choice(("9", "99", "999", "9999", "99999", "A", "AA", "A9", "AA9"))
        for _ in range(rng.randint(2, 4))
    ]
    pattern = rng.choice(("-", "/", " ", "", ".", "-")).join(groups)
    return pattern if sum(char == "9" for char in pattern) >= 4 else pattern + "9999"


def phone(rng: Random) -> str:
    """A phone number in one of many national formats."""
    return fill(rng, rng.choice(BANK["phones"]))


def _stem(rng: Random) -> str:
    if rng.random() < 0.6:
        return rng.choice(BANK["streets"])
    return people.pseudo_word(rng).title()


def city(rng: Random) -> str:
    """A town, written or composed."""
    if rng.random() < 0.6:
        return rng.choice(BANK["cities"])
    return people.pseudo_word(rng).title() + rng.choice(
        ("ton", "ford", "burg", "ville", "stad", "by", "heim", "")
    )


def address(rng: Random, *, lines: bool = False) -> str:
    """A postal address; `lines` writes the parts under each other."""
    parts = _address_parts(rng)
    if rng.random() < 0.1:
        parts.insert(0, f"{_stem(rng)} {rng.choice(HOUSES)}")
    if not lines and rng.random() < 0.1:
        parts = parts[:1]
    return ("\n" if lines else ", ").join(parts)


def _address_parts(rng: Random) -> list[str]:
    """Street, then town, in one of seven national styles."""
    number = str(rng.randint(1, 240)) + rng.choice(("", "", "", "", "a", "B"))
    stem, town = _stem(rng), city(rng)
    uk = fill(rng, rng.choice(("AA8 9AA", "AA89 9AA", "A8 9AA")))
    style = rng.randrange(7)
    endings = BANK["street_ends"]
    if style <= 1:
        parts = [f"{number} {stem} {rng.choice(endings)}", f"{town} {uk}"]
        if rng.random() < 0.25:
            parts[1:] = [town, uk]
        if rng.random() < 0.15:
            parts.insert(0, f"Flat {rng.randint(1, 40)}")
    elif style == 2:
        state = rng.choice(BANK["states"])
        parts = [
            f"{rng.randint(10, 9999)} {stem} {rng.choice(endings)}",
            town,
            f"{state} {digits(rng, 5)}",
        ]
        if rng.random() < 0.25:
            parts.insert(1, f"Apt {rng.randint(1, 30)}")
    elif style == 3:
        ending = rng.choice(("straße", "str.", "weg", "allee", "gasse", "platz"))
        parts = [f"{stem}{ending} {number}", f"{rng.choice(('', 'D-'))}{digits(rng, 5)} {town}"]
    elif style == 4:
        kind = rng.choice(("rue de", "avenue de", "rue", "boulevard", "place"))
        parts = [f"{number} {kind} {stem}", f"{digits(rng, 5)} {town}"]
    elif style == 5:
        kind = rng.choice(("Calle", "C/", "Avenida", "Plaza"))
        parts = [f"{kind} {stem} {number}", f"{digits(rng, 5)} {town}"]
    else:
        ending = rng.choice(("straat", "laan", "gracht", "weg", "kade"))
        parts = [f"{stem}{ending} {number}", f"{fill(rng, '8999 AA')} {town}"]
    return parts


def email(rng: Random, who: people.Person) -> str:
    """An e-mail address, usually made of the person's name."""
    first = "".join(char for char in who.first.lower() if char.isalnum())
    last = "".join(char for char in who.last.lower() if char.isalnum())
    word = people.pseudo_word(rng)
    local = rng.choice(
        (
            f"{first}.{last}",
            f"{first[0]}.{last}",
            f"{first}{last}",
            f"{last}.{first}",
            f"{first}_{last}",
            f"{first}{rng.randint(1, 99)}",
            f"{word}{rng.randint(1, 999)}",
            f"{first}-{word}",
            last,
        )
    )
    host = rng.choice(
        (
            "mailbox",
            "post",
            "inbox",
            "webmail",
            word,
            f"{word}mail",
            f"{word}-{people.pseudo_word(rng)}",
        )
    )
    ending = rng.choice(
        ("example", "example", "com", "co.uk", "org", "net", "de", "fr", "nl", "es", "test", "eu")
    )
    return f"{local}@{host}.{ending}"


def amount(rng: Random) -> str:
    """An amount of money as letters write it."""
    value = rng.choice((rng.randint(5, 999), rng.randint(100, 9999), rng.randint(1000, 250_000)))
    cents = rng.choice(("", ".00", f".{digits(rng, 2)}", f".{digits(rng, 2)}"))
    figure = f"{value:,}{cents}" if rng.random() < 0.75 else f"{value}{cents}"
    if rng.random() < 0.1:
        figure = f"{value:,}".replace(",", ".") + "," + digits(rng, 2)
    mark = rng.choice(
        (
            "£",
            "$",
            "€",
            "EUR ",
            "GBP ",
            "USD ",
            "CHF ",
            "€ ",
            " EUR",
            " euros",
            " GBP",
            " €",
            " USD",
            " CHF",
        )
    )
    return figure + mark if mark.startswith(" ") else mark + figure
