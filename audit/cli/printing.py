"""Opened records for the eye.

What people typed into the appliance may hold anything, also sequences that would move a terminal's
cursor or change the text above; none of those is printed as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from audit.leaf import NO_TOKEN, LeafFlag
from audit.opening import OpenedRecord
from audit.report import format_time


def as_text(record: OpenedRecord) -> str:
    """One record as a block of text, ended by an empty line."""
    leaf = record.leaf
    head = f"record {leaf.index}  {leaf.kind.label}  {format_time(leaf.wall_ns)}  {record.event}"
    lines = [head]
    facts = {**_people(record), **record.meta}
    nested = facts.pop("meta", None)
    lines += _fields({key: value for key, value in facts.items() if value is not None}, "  ")
    if isinstance(nested, dict):
        lines += _fields(nested, "  ")
    if record.content is not None:
        masked = leaf.flags & LeafFlag.MASKED
        lines.append("  content, its card data masked:" if masked else "  content:")
        lines += _fields(record.content, "    ")
    if record.gone:
        lines.append(f"  content: none any more, {record.gone}")
    return "\n".join(lines) + "\n"


def _people(record: OpenedRecord) -> dict[str, str | None]:
    """Names where they are known, else the tokens that stand for them."""
    people: dict[str, str | None] = {}
    for field in ("actor", "subject"):
        name, token = getattr(record, field), getattr(record.leaf, field)
        people[field] = name
        people[f"{field} token"] = token.hex() if name is None and token != NO_TOKEN else None
    return people


def _fields(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, str) and "\n" in value:
            yield f"{indent}{printable(key)}:"
            yield from (f"{indent}  {printable(line)}" for line in value.split("\n"))
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{indent}{printable(key)}: {printable(text)}"


def printable(text: str) -> str:
    """Replace every character that is not printable by its escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
