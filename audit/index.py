"""The blind index: records are found by their metadata without being opened.

A *trapdoor* stands for one value of one field in one epoch. People and cases have a token in the
leaf, which is the beginning of their trapdoor. Other fields have a *mark* in front of the sealed
metadata: who holds the trapdoor tells whether the mark was made with it, for anybody else all marks
are noise, and the same value has another mark in every record, so that nobody counts them either
(Goh, "Secure indexes", ePrint 2003/216).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from audit.leaf import NO_TOKEN, Leaf
from audit.ratchet import SECRET_SIZE
from audit.secret import wipe

PEOPLE: Final = ("actor", "subject")
MARKED: Final = ("task", "model", "model_digest", "outcome", "source", "event", "begin")
MARK_SIZE: Final = 8  # bytes
MARKS_SIZE: Final = MARK_SIZE * len(MARKED)

_INDEX: Final = b"cloister-audit/v2 index"
_TOKEN_SIZE: Final = 16  # bytes
_KEPT: Final = 256  # trapdoors kept of one epoch


class Index:
    """Makes the trapdoors of one epoch."""

    __slots__ = ("_key", "_known")

    def __init__(self, secret: bytearray) -> None:
        """Derive the key of an epoch's index.

        Args:
            secret: `M[0]` of the epoch, 32 bytes; read, not kept.
        """
        self._key = bytearray(SECRET_SIZE)
        self._known: dict[tuple[str, str], hmac.HMAC] = {}
        HKDFExpand(hashes.SHA256(), SECRET_SIZE, _INDEX).derive_into(secret, self._key)

    def trapdoor(self, field: str, value: str) -> bytes:
        """What finds this value of this field, 32 bytes."""
        return hmac.digest(self._key, f"{field}\0{value}".encode(), "sha256")

    def token(self, field: str, name: str | None) -> bytes:
        """The 16-byte token of a person or case; zero for None."""
        return NO_TOKEN if name is None else self.trapdoor(field, name)[:_TOKEN_SIZE]

    def marks(self, meta: Mapping[str, str], index: int) -> bytes:
        """The marks of a record, 8 bytes for each field of MARKED.

        Args:
            meta: values by field; a field without one is marked as the empty text.
            index: the record's place in the log.
        """
        place = index.to_bytes(8, "big")
        return b"".join(self._mark(field, meta.get(field, ""), place) for field in MARKED)

    def erase(self) -> None:
        """Overwrite the key, and forget what was made with it."""
        wipe(self._key)
        self._known.clear()

    def _mark(self, field: str, value: str, place: bytes) -> bytes:
        """One mark; keyed once for a value that is wanted again: tasks and models are few."""
        keyed = self._known.get((field, value))
        if keyed is None:
            keyed = hmac.new(self.trapdoor(field, value), digestmod="sha256")
            if len(self._known) < _KEPT and field != "begin":
                self._known[field, value] = keyed
        mark = keyed.copy()
        mark.update(place)
        return mark.digest()[:MARK_SIZE]


def marked_values(meta: Mapping[str, Any]) -> dict[str, str]:
    """What of a record's metadata can be searched for: the texts of the fields of MARKED."""
    found = {field: meta.get(field) for field in MARKED}
    return {field: value for field, value in found.items() if isinstance(value, str)}


def matches(leaf: Leaf, blob: bytes | None, trapdoors: Mapping[str, bytes]) -> bool:
    """Whether a record has all of these values.

    Args:
        leaf: its leaf.
        blob: its metadata blob, None if it has none; only the marks in front are read.
        trapdoors: of its epoch, by field.
    """
    marks = b"" if blob is None else blob[:MARKS_SIZE]
    return all(_has(leaf, marks, field, trapdoor) for field, trapdoor in trapdoors.items())


def _has(leaf: Leaf, marks: bytes, field: str, trapdoor: bytes) -> bool:
    if field in PEOPLE:
        return bool(getattr(leaf, field) == trapdoor[:_TOKEN_SIZE])
    start = MARKED.index(field) * MARK_SIZE
    return marks[start : start + MARK_SIZE] == _mark(trapdoor, leaf.index)


def _mark(trapdoor: bytes, index: int) -> bytes:
    return hmac.digest(trapdoor, index.to_bytes(8, "big"), "sha256")[:MARK_SIZE]
