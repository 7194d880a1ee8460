"""Reading what the page of records asks for; everything in it comes from a browser."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from appliance.web.log.sitting import SittingError
from audit.errors import QueryFormatError
from audit.leaf import LeafType
from audit.report import format_time
from audit.search import Query
from audit.window import Window

MAX_SEALED: Final = 12_000  # characters; room for the longest reason
_KINDS: Final = frozenset(kind.label for kind in LeafType)


@dataclass(frozen=True)
class Search:
    """A step of a search.

    Args:
        query: Trapdoors.
        window: What stands in clear.
        below: Where an earlier step ended, None for the first.
        terms: What is looked for, sealed by the page to whoever opens the epoch's metadata.
    """

    query: Query
    window: Window
    below: int | None
    terms: dict[str, Any]

    def facts(self) -> dict[str, Any]:
        """What the log says of it: which fields, not which values."""
        fields = sorted({field for epoch in self.query.trapdoors.values() for field in epoch})
        digest = hashlib.sha256(self.query.to_json().encode()).hexdigest()
        facts: dict[str, Any] = {"fields": fields, "query": digest, "terms": self.terms}
        for name in ("since", "until"):
            if (value := getattr(self.window, name)) is not None:
                facts[name] = format_time(value)
        if self.window.kinds:
            facts["of"] = ", ".join(sorted(self.window.kinds))
        return facts


def search_of(form: MultiDict[str, str], origin: str) -> Search:
    """Read a step of a search.

    Args:
        form: As the page sent it.
        origin: Name of the log.

    Raises:
        SittingError: It is malformed.
    """
    try:
        query = Query.parse(form.get("query", ""))
        if query.origin != origin:
            raise ValueError(query.origin)
        kinds = frozenset(filter(None, [form.get("type")]))
        if not kinds <= _KINDS:
            raise ValueError(kinds)
        return Search(
            query=query,
            window=Window(
                _number(form.get("since")),
                _number(form.get("until")),
                kinds,
            ),
            below=_number(form.get("below")),
            terms=_terms(form.get("terms", "")),
        )
    except (QueryFormatError, ValueError, TypeError) as error:
        raise SittingError("The search was not understood. Reload the page.") from error


def _number(text: str | None) -> int | None:
    if not text:
        return None
    number = int(text)
    if not 0 <= number < 1 << 63:
        raise ValueError(text)
    return number


def _terms(text: str) -> dict[str, Any]:
    """The sealed terms, or nothing where none were given."""
    return sealed_of(text) if text else {}


def sealed_of(text: str) -> dict[str, Any]:
    """What a page sealed to the officers: `{"epoch": number, "sealed": base64}`.

    Raises:
        ValueError: It is something else, or too long.
        TypeError: It is something else.
    """
    if len(text) > MAX_SEALED:
        raise ValueError("sealed")
    value = json.loads(text)
    if set(value) != {"epoch", "sealed"} or type(value["epoch"]) is not int:
        raise ValueError("sealed")
    return {"epoch": value["epoch"], "sealed": str(value["sealed"])}
