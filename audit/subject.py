"""Subjects: whom or which case a record is about, by a key that can be erased.

Each subject has a random key `K`. The contents of a record about it open with the epoch's secret
*and* with a key that is derived from `K` for that record alone, so that a record's key can be given
away with an export and `K` can not. Who erases `K` makes all of them unreadable, for the officers
too, while hashes and proofs stay.

A *link* secret of the log turns a subject's name into the handle under which its key is kept, and
hides in front of each content blob which key belongs to it: without it nobody can tell which
records are about the same subject.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from audit.errors import ErasedError, KeyFileError

KEY_SIZE: Final = 32  # bytes, of a subject's key and of the link secret
ID_SIZE: Final = 16  # bytes; a subject's random name, and the bond that hides it

_ERASED: Final = "erased"
_RECORD: Final = b"cloister-audit/v2 subject record\0"
_BOND: Final = b"cloister-audit/v2 subject bond\0"
_HANDLE: Final = b"cloister-audit/v2 subject handle\0"


@dataclass(frozen=True, slots=True, repr=False)
class Subject:
    """One subject's key, and the random id by which the log speaks of it.

    Attributes:
        ident: 16 random bytes.
        key: 32 random bytes.
    """

    ident: bytes
    key: bytes


class RecordKeys(Protocol):
    """Where an opener finds the keys of records about subjects."""

    def record_key(self, index: int, blob: bytes) -> bytes:
        """The key that a record's content needs beside the epoch's secret, 32 bytes.

        Args:
            index: the record's place in the log.
            blob: its content blob.

        Raises:
            ErasedError: if the subject was erased.
            KeyFileError: if the key is not here.
        """


def record_key(key: bytes, index: int) -> bytes:
    """The key of one record, from its subject's key.

    Args:
        key: of the subject, 32 bytes.
        index: the record's place in the log.
    """
    return hmac.digest(key, _RECORD + index.to_bytes(8, "big"), "sha256")


def bond(link: bytes, ident: bytes, index: int) -> bytes:
    """What stands in front of a content blob: the subject's id, hidden; also the way back.

    Args:
        link: the log's link secret, 32 bytes.
        ident: the subject's id, or the bond to get the id.
        index: the record's place in the log.
    """
    mask = hmac.digest(link, _BOND + index.to_bytes(8, "big"), "sha256")
    return bytes(a ^ b for a, b in zip(ident, mask[:ID_SIZE], strict=True))


def handle(link: bytes, name: str) -> bytes:
    """Under what a subject's key is kept, 16 bytes; says nothing about the name without the link.

    Args:
        link: the log's link secret, 32 bytes.
        name: the subject's plain name.
    """
    return hmac.digest(link, _HANDLE + name.encode(), "sha256")[:ID_SIZE]


def word_of(found: bytes | ErasedError | None) -> str:
    """How writer and exports say what there is of a record's key.

    Args:
        found: the key, that its subject was erased, or None for a key that is lost.
    """
    if isinstance(found, ErasedError):
        return f"{_ERASED} {found.by}"
    return "" if found is None else found.hex()


def key_of_word(word: str) -> bytes:
    """The key of a record, from the word of the writer or an export.

    Raises:
        ErasedError: if the subject was erased.
        KeyFileError: if the key is lost.
    """
    match word.split(" "):
        case [erased, by] if erased == _ERASED and by.isdigit():
            raise ErasedError(int(by))
        case [key] if len(key) == 2 * KEY_SIZE:
            with suppress(ValueError):
                return bytes.fromhex(key)
    raise KeyFileError("it is about a subject, and there is no key for it here")
