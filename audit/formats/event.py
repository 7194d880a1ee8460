"""One record as every format tells it: the same facts under the same names, whoever reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from audit.leaf import NO_TOKEN, LeafFlag, LeafType, leaf_hash
from audit.opening import OpenedRecord

VENDOR: Final = "Cloister"
PRODUCT: Final = "Cloister"
FORMAT_VERSION: Final = "2"  # of the log; a tool's own version would change what it writes

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ASKING: Final = frozenset({LeafType.PROMPT, LeafType.ANSWER})
_FAILED: Final = ("error:", "cancelled")
_LONG: Final = ("grants", "recipients", "note")  # of the log's own records: keys, signatures
_REFUSALS: Final = (":refused", ":not-")


@dataclass(frozen=True)
class Event:
    """A record and the log that it is of.

    Attributes:
        origin: name of the log.
        record: the record, opened as far as it shall be told.
    """

    origin: str
    record: OpenedRecord

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What the record's metadata say, without what the leaf says too."""
        nested = self.record.meta.get("meta")
        return nested if isinstance(nested, dict) else self.record.meta

    @property
    def kind(self) -> LeafType:
        """What the record is about."""
        return self.record.leaf.kind

    @property
    def name(self) -> str:
        """What happened: the event's name, or the kind of record where it has none."""
        return self.text("event") or self.kind.label

    @property
    def task(self) -> bool:
        """Whether a model was asked or answered."""
        return self.kind in _ASKING

    @property
    def actor(self) -> str:
        """Who did it: the name where it is known, else the token, empty for the writer itself."""
        return _person(self.record.actor, self.record.leaf.actor)

    @property
    def subject(self) -> str:
        """Whom it is about, as `actor`."""
        return _person(self.record.subject, self.record.leaf.subject)

    @property
    def outcome(self) -> str:
        """`answered`, `cancelled`, `error:<code>`, or empty."""
        return self.text("outcome")

    @property
    def failed(self) -> bool:
        """Whether something was refused, was broken off, or went wrong."""
        return (
            self.kind is LeafType.FAULT
            or self.outcome.startswith(_FAILED)
            or any(mark in self.name for mark in _REFUSALS)
        )

    @property
    def leaf_hash(self) -> str:
        """Hash of the leaf in the tree, in hexadecimal: what a proof starts from."""
        return leaf_hash(self.record.leaf.pack()).hex()

    @property
    def milliseconds(self) -> int:
        """Wall clock of the record, since 1970."""
        return self.record.leaf.wall_ns // 1_000_000

    @property
    def masked(self) -> bool:
        """Whether card data in its content were masked."""
        return bool(self.record.leaf.flags & LeafFlag.MASKED)

    def text(self, field: str) -> str:
        """A field of the facts, empty unless it is text."""
        value = self.facts.get(field)
        return value if isinstance(value, str) else ""

    def number(self, field: str) -> int | None:
        """A field of the facts, None unless it is a whole number that is not negative."""
        value = self.facts.get(field)
        return value if type(value) is int and value >= 0 else None

    def rest(self, *told: str) -> dict[str, Any]:
        """The facts that are not told otherwise, and not empty; that it is masked, if it is."""
        found = {**self.facts, "masked": self.masked or None}
        return {
            field: value
            for field, value in found.items()
            if field not in told + _LONG and value not in (None, {}, [], "")
        }


def rfc3339(wall_ns: int) -> str:
    """A wall clock reading in UTC with microseconds.

    A clock beyond the year 9999 can only come of tampering; it is written as the last moment there
    is, since every format wants a date, and the number stands in JSON Lines as it is.
    """
    try:
        when = _EPOCH + timedelta(microseconds=wall_ns // 1000)
    except OverflowError:
        when = datetime.max.replace(tzinfo=UTC)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def compact(value: object) -> str:
    """JSON in ASCII on one line, the same for equal values."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _person(name: str | None, token: bytes) -> str:
    if name is not None:
        return name
    return "" if token == NO_TOKEN else f"tok:{token.hex()}"
