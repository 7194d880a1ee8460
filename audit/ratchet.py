"""Keys of an epoch: one forward ratchet for the metadata of its records, one for their contents.

`S[0]` is a secret that only officers hold. `S[i+1]` is derived from `S[i]`, which is then
overwritten: who takes the writer's memory at record i opens no earlier record (Schneier and Kelsey,
1998). HKDF is RFC 5869 with SHA-256 throughout.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from audit.secret import wipe

SECRET_SIZE: Final = 32  # bytes
NO_SUBJECT_KEY: Final = bytes(32)  # salt of a record that is bound to nobody's key
METADATA: Final = b"cloister-audit/v2 meta"
CONTENTS: Final = b"cloister-audit/v2 content"

_SHA256: Final = hashes.SHA256()
_STEP: Final = b"cloister-audit/v2 ratchet"


class Ratchet:
    """The running secret of a compartment; takes over the given buffer and wipes it as it moves."""

    __slots__ = ("_compartment", "_next", "_state", "position")

    def __init__(self, secret: bytearray, compartment: bytes) -> None:
        """Start at `S[0]`.

        Args:
            secret: `S[0]`, 32 bytes.
            compartment: METADATA or CONTENTS.
        """
        self.position = 0
        self._compartment = compartment
        self._state = secret
        self._next = bytearray(SECRET_SIZE)

    def key(self, subject_key: bytes = NO_SUBJECT_KEY) -> bytearray:
        """Key and commitment for this record's blob, 64 bytes; wipe it after use.

        Args:
            subject_key: key of the person or case that the record is bound to, 32 bytes.
        """
        key = bytearray(64)
        HKDF(_SHA256, 64, subject_key, self._compartment).derive_into(self._state, key)
        return key

    def advance(self) -> None:
        """Move to the next record's secret and overwrite this one."""
        HKDFExpand(_SHA256, SECRET_SIZE, _STEP).derive_into(self._state, self._next)
        self._state[:] = self._next
        self.position += 1

    def erase(self) -> None:
        """Overwrite the secret; nothing can be derived afterwards."""
        wipe(self._state)
        wipe(self._next)
