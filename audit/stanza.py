"""Stanzas of an age file's header: the file key, wrapped for one recipient each."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.errors import AgeFormatError

FILE_KEY: Final = 16  # bytes
WRAPPED: Final = FILE_KEY + 16  # bytes, with the tag
COLUMNS: Final = 64

_ONCE: Final = bytes(12)  # the nonce of a key that is used once


@dataclass(frozen=True, slots=True)
class Stanza:
    """The file key wrapped for one recipient.

    Attributes:
        arguments: its kind, and what the kind needs.
        body: the wrapped file key.
    """

    arguments: tuple[str, ...]
    body: bytes

    def __bytes__(self) -> bytes:
        """The stanza as it stands in a header, ended by a line shorter than the others."""
        encoded = base64_of(self.body)
        lines = [encoded[start : start + COLUMNS] for start in range(0, len(encoded), COLUMNS)]
        if not lines or len(lines[-1]) == COLUMNS:
            lines.append(b"")
        head = " ".join(("->", *self.arguments)).encode()
        return b"\n".join((head, *lines, b""))


class Recipient(Protocol):
    """Somebody whom a file can be sealed to."""

    def wrap(self, file_key: bytearray) -> Stanza:
        """Wrap the file key for him."""


class Opener(Protocol):
    """A key or passphrase that opens files."""

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, if this stanza was made for this opener.

        Raises:
            AgeFormatError: if it is a malformed stanza of its kind.
        """


def arguments_of(stanza: Stanza, kind: str, lengths: tuple[int | None, ...]) -> list[bytes] | None:
    """The arguments of a stanza behind its kind, decoded; None if it is of another kind.

    Args:
        stanza: the stanza.
        kind: its first argument.
        lengths: of the others in bytes; None for one that is no base64 and comes as it is.

    Raises:
        AgeFormatError: if it is of this kind, but malformed.
    """
    if stanza.arguments[0] != kind:
        return None
    rest = stanza.arguments[1:]
    if len(rest) != len(lengths) or len(stanza.body) != WRAPPED:
        raise AgeFormatError("A recipient of this age file is malformed.")
    decoded = []
    for text, length in zip(rest, lengths, strict=True):
        raw = text.encode() if length is None else unbase64(text)
        if length is not None and len(raw) != length:
            raise AgeFormatError("A recipient of this age file is malformed.")
        decoded.append(raw)
    return decoded


def wrap_with(key: bytes, file_key: bytearray) -> bytes:
    """Wrap the file key under a key that is used once."""
    return ChaCha20Poly1305(key).encrypt(_ONCE, file_key, None)


def unwrap_with(key: bytes, body: bytes) -> bytes | None:
    """Undo it; None if it was another key."""
    try:
        return ChaCha20Poly1305(key).decrypt(_ONCE, body, None)
    except InvalidTag:
        return None


def hkdf(secret: bytes | bytearray, salt: bytes, info: bytes) -> bytes:
    """32 bytes of HKDF-SHA-256."""
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def base64_of(raw: bytes) -> bytes:
    """Unpadded base64."""
    return base64.b64encode(raw).rstrip(b"=")


def unbase64(text: str) -> bytes:
    """Decode unpadded base64, refusing every spelling but the canonical one.

    Raises:
        AgeFormatError: if it is another.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AgeFormatError("The header of this age file is malformed.") from error
    if base64_of(raw).decode() != text:
        raise AgeFormatError("The header of this age file is malformed.")
    return raw
