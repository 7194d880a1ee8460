"""Counting records: one pass, and nothing is kept of them but counts and the newest few."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

from audit.formats.event import Event
from audit.leaf import LeafType
from audit.opening import OpenedRecord

KEPT: Final = 25  # of the newest looks and faults that are listed one by one

ANSWERED, CANCELLED, FAILED = "answered", "cancelled", "failed"
ALL: Final = "records of every kind"


@dataclass(frozen=True, slots=True)
class Noted:
    """One record that is listed by itself.

    Attributes:
        wall_ns: when, nanoseconds since 1970.
        index: its number in the log.
        who: token or name, empty for the writer.
        what: what happened.
    """

    wall_ns: int
    index: int
    who: str
    what: str


@dataclass(slots=True)
class Tally:
    """What was counted.

    Attributes:
        records: all records.
        kinds: records by kind.
        days: records by day.
        answers: by day and outcome.
        tasks: answers by task.
        models: answers by the model that gave them.
        outcomes: answers by outcome.
        sources: prompts by the way that they came in.
        prompt_tokens: tokens that were read.
        completion_tokens: tokens that were written.
        look_count: looks at the log.
        looks: the newest of them.
        fault_count: faults.
        faults: the newest of them.
        refusals: sign-ins and requests that were refused.
        masked: records in whose content card data were masked.
        first_ns: wall clock of the first record.
        last_ns: of the last.
    """

    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    days: dict[date, Counter[str]] = field(default_factory=dict)
    answers: dict[date, Counter[str]] = field(default_factory=dict)
    tasks: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    look_count: int = 0
    looks: deque[Noted] = field(default_factory=lambda: deque(maxlen=KEPT))
    fault_count: int = 0
    faults: deque[Noted] = field(default_factory=lambda: deque(maxlen=KEPT))
    refusals: int = 0
    masked: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, event: Event) -> None:
        """Count one record."""
        leaf = event.record.leaf
        self.records += 1
        self.kinds[event.kind.label] += 1
        self.first_ns = self.first_ns or leaf.wall_ns
        self.last_ns = leaf.wall_ns
        _count(self.days, leaf.wall_ns, ALL)
        self.refusals += ":refused" in event.name
        self.masked += event.masked
        match event.kind:
            case LeafType.PROMPT:
                self.sources[event.text("source") or "unknown"] += 1
            case LeafType.ANSWER:
                self._add_answer(event)
            case LeafType.ACCESS:
                self.look_count += 1
                self.looks.append(_noted(event))
            case LeafType.FAULT:
                self.fault_count += 1
                self.faults.append(_noted(event))
            case _:
                pass

    def _add_answer(self, event: Event) -> None:
        outcome = event.outcome or "unknown"
        self.outcomes[outcome] += 1
        self.tasks[event.text("task") or "no task"] += 1
        self.models[event.text("answered_by") or event.text("model") or "unknown"] += 1
        self.prompt_tokens += event.number("prompt_tokens") or 0
        self.completion_tokens += event.number("completion_tokens") or 0
        kind = outcome if outcome in (ANSWERED, CANCELLED) else FAILED
        _count(self.answers, event.record.leaf.wall_ns, kind)


def tally(origin: str, records: Iterable[OpenedRecord]) -> Tally:
    """Count records.

    Args:
        origin: name of the log.
        records: in order; metadata suffice.
    """
    counted = Tally()
    for record in records:
        counted.add(Event(origin, record))
    return counted


def _noted(event: Event) -> Noted:
    leaf = event.record.leaf
    facts = event.rest("event")
    code = facts.get("code") or facts.get("reason") or facts.get("status") or ""
    what = f"{event.name} {code}".strip()
    return Noted(leaf.wall_ns, leaf.index, event.actor, what)


def _count(days: dict[date, Counter[str]], wall_ns: int, kind: str) -> None:
    """Count one under its day, in UTC, unless no calendar has it."""
    try:
        day = datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).date()
    except (ValueError, OverflowError):
        return
    days.setdefault(day, Counter())[kind] += 1
