"""Keys of an epoch: one forward ratchet for the metadata of its records, one for their contents.

`S[0]` is a secret that only officers hold. `S[i+1]` is derived from `S[i]`, which is then
overwritten: who takes the writer's memory at record i opens no earlier record (Schneier and Kelsey,
1998). HKDF is RFC 5869 with SHA-256 throughout.

The secret of the contents are two shares, one of each group, which run on beside each other. For
each record either gives a half of its key: so an officer can give another what opens that record,
and nothing that opens the next.
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
_HALF: Final = b"cloister-audit/v2 half"


class Ratchet:
    """The running secret of a compartment; takes over the given buffer and wipes it as it moves."""

    __slots__ = ("_compartment", "_halves", "_next", "_state", "position")

    def __init__(self, secret: bytearray, compartment: bytes) -> None:
        """Start at `S[0]`.

        Args:
            secret: `S[0]`, 32 bytes for each officer that it takes.
            compartment: METADATA or CONTENTS.
        """
        self.position = 0
        self._compartment = compartment
        self._state = secret
        self._next = bytearray(len(secret))
        self._halves = bytearray(len(secret))

    def key(self, subject_key: bytes = NO_SUBJECT_KEY) -> bytearray:
        """Key and commitment for this record's blob, 64 bytes; wipe it after use.

        Args:
            subject_key: key of the person or case that the record is bound to, 32 bytes.
        """
        if len(self._state) == SECRET_SIZE:
            return record_key(self._state, self._compartment, subject_key)
        self._derive(_HALF, self._halves)
        try:
            return record_key(self._halves, self._compartment, subject_key)
        finally:
            wipe(self._halves)

    def advance(self) -> None:
        """Move to the next record's secret and overwrite this one."""
        self._derive(_STEP, self._next)
        self._state[:] = self._next
        self.position += 1

    def _derive(self, info: bytes, target: bytearray) -> None:
        """Expand each officer's part of the secret into the same place of another buffer."""
        state, into = memoryview(self._state), memoryview(target)
        for start in range(0, len(state), SECRET_SIZE):
            part = slice(start, start + SECRET_SIZE)
            HKDFExpand(_SHA256, SECRET_SIZE, info).derive_into(state[part], into[part])

    def erase(self) -> None:
        """Overwrite the secret; nothing can be derived afterwards."""
        wipe(self._state)
        wipe(self._next)


def record_key(secret: bytearray, compartment: bytes, subject_key: bytes) -> bytearray:
    """Key and commitment of a record, 64 bytes.

    Args:
        secret: what officers have for this record: `M[i]`, or the halves of both groups.
        compartment: METADATA or CONTENTS.
        subject_key: as in `Ratchet.key`.
    """
    key = bytearray(64)
    HKDF(_SHA256, 64, subject_key, compartment).derive_into(secret, key)
    return key
