"""Keys of an epoch: a forward ratchet for contents, and tokens for names.

`R[0]` is the epoch secret that the officers hold in two shares. `R[i+1]` is derived from `R[i]`,
which is then overwritten: who takes the writer's memory at record i opens no earlier record
(Schneier and Kelsey, 1998). HKDF is RFC 5869 with SHA-256 throughout.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from audit.leaf import NO_TOKEN
from audit.secret import wipe

SECRET_SIZE: Final = 32  # bytes
NO_SUBJECT_KEY: Final = bytes(32)  # salt of a record that is bound to nobody's key

_SHA256: Final = hashes.SHA256()
_STEP: Final = b"cloister-audit/v1 ratchet"
_INDEX: Final = b"cloister-audit/v1 index"
_META: Final = b"cloister-audit/v1 meta"
_CONTENT: Final = b"cloister-audit/v1 content"


class Ratchet:
    """The running secret of an epoch; takes over the given buffer and wipes it as it moves on."""

    __slots__ = ("_next", "_state", "position")

    def __init__(self, secret: bytearray) -> None:
        """Start at `R[0]`.

        Args:
            secret: `R[0]`, 32 bytes.
        """
        self.position = 0
        self._state = secret
        self._next = bytearray(SECRET_SIZE)

    def meta_key(self, subject_key: bytes = NO_SUBJECT_KEY) -> bytearray:
        """Key and commitment for this record's metadata, 64 bytes; wipe it after use."""
        return self._derive(_META, subject_key)

    def content_key(self, subject_key: bytes = NO_SUBJECT_KEY) -> bytearray:
        """Key and commitment for this record's content, 64 bytes; wipe it after use."""
        return self._derive(_CONTENT, subject_key)

    def advance(self) -> None:
        """Move to the next record's secret and overwrite this one."""
        HKDFExpand(_SHA256, SECRET_SIZE, _STEP).derive_into(self._state, self._next)
        self._state[:] = self._next
        self.position += 1

    def erase(self) -> None:
        """Overwrite the secret; nothing can be derived afterwards."""
        wipe(self._state)
        wipe(self._next)

    def _derive(self, info: bytes, salt: bytes) -> bytearray:
        key = bytearray(64)
        HKDF(_SHA256, 64, salt, info).derive_into(self._state, key)
        return key


class Tokens:
    """Pseudonyms of one epoch: the same name gives the same token, and no other epoch's."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytearray) -> None:
        """Derive the key of an epoch's tokens.

        Args:
            secret: `R[0]` of the epoch, 32 bytes; read, not kept.
        """
        self._key = bytearray(SECRET_SIZE)
        HKDFExpand(_SHA256, SECRET_SIZE, _INDEX).derive_into(secret, self._key)

    def token(self, field: str, value: str | None) -> bytes:
        """The 16-byte token of a value in a field (`actor`, `subject`); zero for None."""
        if value is None:
            return NO_TOKEN
        return hmac.digest(self._key, f"{field}\0{value}".encode(), "sha256")[:16]

    def erase(self) -> None:
        """Overwrite the key."""
        wipe(self._key)
