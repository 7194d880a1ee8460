"""Finding records by their metadata: blindly by trapdoors, or by opening what was found.

A query holds trapdoors, one for each epoch and field. Who holds a query finds the records that it
asks for and reads nothing; the officer's key that made it stays on the officer's machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from audit.errors import LeafFormatError, QueryFormatError
from audit.grants import EpochSecrets
from audit.index import MARKED, PEOPLE, Index, matches
from audit.leaf import Leaf, LeafFlag
from audit.opening import EpochSpan
from audit.rows import Records, Row

FIELDS: Final = (*PEOPLE, *MARKED)

_VERSION: Final = 1
_TRAPDOOR_SIZE: Final = 32  # bytes
_CHUNK: Final = 1024  # records read by one query


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for, without saying what it is.

    Attributes:
        origin: name of the log that it was made for.
        trapdoors: by epoch, then by field.
    """

    origin: str
    trapdoors: Mapping[int, Mapping[str, bytes]]

    def wants(self, row: Row) -> bool:
        """Whether a record has everything that is asked for; only leaf and marks are looked at."""
        try:
            leaf = Leaf.unpack(row.leaf)
        except LeafFormatError:
            return False
        wanted = self.trapdoors.get(leaf.epoch)
        if wanted is None or (wanted and leaf.flags & LeafFlag.PLAIN_META):
            return False
        return matches(leaf, row.meta, wanted)

    def to_json(self) -> str:
        """The query as a file's text."""
        epochs = {
            str(epoch): {field: trapdoor.hex() for field, trapdoor in fields.items()}
            for epoch, fields in self.trapdoors.items()
        }
        value = {"version": _VERSION, "origin": self.origin, "epochs": epochs}
        return json.dumps(value, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read a query's file.

        Raises:
            QueryFormatError: if it is none.
        """
        try:
            value = json.loads(text)
            if value["version"] != _VERSION:
                raise ValueError(value["version"])
            epochs = {int(epoch): _fields(fields) for epoch, fields in value["epochs"].items()}
            return cls(str(value["origin"]), epochs)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise QueryFormatError(
                f"This is not a query of version {_VERSION}. "
                "Make one: cloister-audit search LOGDIR --key FILE --task NAME --write-query FILE"
            ) from error


def make_query(origin: str, secrets: Mapping[int, EpochSecrets], terms: Mapping[str, str]) -> Query:
    """Make the trapdoors of what is looked for.

    Args:
        origin: name of the log.
        secrets: of each epoch that shall be searched.
        terms: values by field, of FIELDS.
    """
    found: dict[int, dict[str, bytes]] = {}
    for epoch, opened in secrets.items():
        index = Index(opened.metadata)
        found[epoch] = {field: index.trapdoor(field, value) for field, value in terms.items()}
        index.erase()
    return Query(origin, found)


def find(rows: Records, spans: list[EpochSpan], query: Query) -> Iterator[Leaf]:
    """The leaves of the records that a query asks for, in order; nothing is opened."""
    for span in spans:
        if span.number not in query.trapdoors:
            continue
        for start in range(span.start, span.end, _CHUNK):
            for row in rows.rows(start, min(start + _CHUNK, span.end)):
                if query.wants(row):
                    yield Leaf.unpack(row.leaf)


def _fields(fields: Mapping[str, Any]) -> dict[str, bytes]:
    found = {field: bytes.fromhex(trapdoor) for field, trapdoor in fields.items()}
    if not set(found) <= set(FIELDS) or any(len(one) != _TRAPDOOR_SIZE for one in found.values()):
        raise ValueError(fields)
    return found
