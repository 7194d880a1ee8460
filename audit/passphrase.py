"""age files under a passphrase (scrypt, RFC 7914): how key files are locked.

`age -d a.key` opens what this locks, and this opens what `age -p` locked.
"""

from __future__ import annotations

import re
from typing import Final

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from audit.errors import AgeFormatError
from audit.secret import random_secret
from audit.stanza import Stanza, arguments_of, base64_of, unwrap_with, wrap_with

LOCKED: Final = "scrypt"
WORK: Final = 18  # logarithm of scrypt's N: 256 MiB, about a second
MOST_WORK: Final = 20  # what is taken on at most when opening: 1 GiB

_LABEL: Final = b"age-encryption.org/v1/scrypt"
_SALT: Final = 16  # bytes
_BLOCK: Final = 8  # scrypt's r
_DECIMAL: Final = re.compile(rb"[1-9][0-9]*")


class Passphrase:
    """Opens and locks files with a passphrase."""

    __slots__ = ("_text", "_work")

    def __init__(self, text: str, work: int = WORK) -> None:
        """Keep a passphrase.

        Args:
            text: the passphrase.
            work: logarithm of scrypt's N, for locking.
        """
        self._text = text
        self._work = work

    def __repr__(self) -> str:
        """Nothing of it, so that no traceback shows it."""
        return "Passphrase(…)"

    def wrap(self, file_key: bytearray) -> Stanza:
        """Wrap the file key."""
        salt = bytes(random_secret(_SALT))
        arguments = (LOCKED, base64_of(salt).decode(), str(self._work))
        return Stanza(arguments, wrap_with(self._key(salt, self._work), file_key))

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key if it was wrapped with this passphrase.

        Raises:
            AgeFormatError: if the stanza is malformed, or asks for more work than MOST_WORK.
        """
        found = arguments_of(stanza, LOCKED, (_SALT, None))
        if found is None:
            return None
        salt, work = found
        if not _DECIMAL.fullmatch(work) or len(work) > 2 or int(work) > MOST_WORK:
            raise AgeFormatError(
                f"The passphrase of this age file was made with a work factor that is malformed "
                f"or above {MOST_WORK}. Open it with age -d."
            )
        return unwrap_with(self._key(salt, int(work)), stanza.body)

    def _key(self, salt: bytes, work: int) -> bytes:
        derive = Scrypt(salt=_LABEL + salt, length=32, n=1 << work, r=_BLOCK, p=1)
        return derive.derive(self._text.encode())
