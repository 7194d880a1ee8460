"""How answers are scored. Pure functions; the definitions are repeated in models/demo/README.md."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

LABEL = re.compile(r"\[(?:NAME|DATE|ID|PHONE|ADDRESS|EMAIL)\]")
UNIT = re.compile(LABEL.pattern + r"|\w+|\s|[^\w\s]")


@dataclass
class LabelScore:
    """Counts over de-identified notes; `by_label` maps a label to (found, in gold, in answer)."""

    found: Counter[str] = field(default_factory=Counter)
    gold: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    copied: int = 0
    plain: int = 0
    leaked: int = 0
    identifiers: int = 0
    exact: int = 0
    notes: int = 0

    @property
    def recall(self) -> float:
        """Gold labels that the answer has, right and in place, over all gold labels."""
        return self.found.total() / max(1, self.gold.total())

    @property
    def precision(self) -> float:
        """The same labels over all labels in the answers."""
        return self.found.total() / max(1, self.given.total())

    @property
    def copy_rate(self) -> float:
        """Units outside labels that the answer kept in place, over all of them."""
        return self.copied / max(1, self.plain)

    @property
    def leak_rate(self) -> float:
        """Identifiers whose full spelling still stands in the answer, over all identifiers."""
        return self.leaked / max(1, self.identifiers)


def surfaces(text: str, gold: str) -> list[str] | None:
    """What each label of `gold` stands for in `text`, or None when gold is not text with labels."""
    parts = LABEL.split(gold)
    pattern = "(.+?)".join(re.escape(part) for part in parts)
    match = re.fullmatch(pattern, text, re.DOTALL)
    return None if match is None else list(match.groups())


def score_note(score: LabelScore, text: str, gold: str, answer: str) -> None:
    """Add one note: gold and answer are aligned as sequences of words, marks and labels."""
    wanted, got = UNIT.findall(gold), UNIT.findall(answer)
    matcher = SequenceMatcher(None, wanted, got, autojunk=False)
    kept = [
        wanted[i]
        for block in matcher.get_matching_blocks()
        for i in range(block.a, block.a + block.size)
    ]
    for counter, units in ((score.found, kept), (score.gold, wanted), (score.given, got)):
        counter.update(unit for unit in units if LABEL.fullmatch(unit))
    score.copied += sum(not LABEL.fullmatch(unit) for unit in kept)
    score.plain += sum(not LABEL.fullmatch(unit) for unit in wanted)
    hidden = surfaces(text, gold) or []
    score.identifiers += len(hidden)
    # A name that is also an ordinary word may stand in the gold answer too; that is no leak.
    score.leaked += sum(value in answer and value not in gold for value in hidden)
    score.exact += answer == gold
    score.notes += 1


@dataclass
class FieldScore:
    """Counts over JSON answers."""

    right: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    valid: int = 0
    exact: int = 0
    answers: int = 0

    @property
    def accuracy(self) -> float:
        """Fields that are right over all fields."""
        return self.right.total() / max(1, self.seen.total())


def parse(answer: str) -> dict[str, Any] | None:
    """The JSON object of an answer, or None."""
    try:
        value = json.loads(answer)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def score_fields(score: FieldScore, gold: dict[str, Any], answer: str) -> list[str]:
    """Add one JSON answer and return the names of the fields that are wrong."""
    value = parse(answer)
    wrong = [key for key in gold if value is None or key not in value or value[key] != gold[key]]
    score.seen.update(list(gold))
    score.right.update(key for key in gold if key not in wrong)
    score.valid += value is not None
    score.exact += not wrong
    score.answers += 1
    return wrong
