"""An officer's signature: made with a key that follows from the one which opens records.

So an officer keeps one key. Its use for opening and its use for signing are apart: HKDF with an
info of its own (RFC 5869).
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.keyfile import OfficerKey
from audit.note import VerifierKey

NAME: Final = "officer"  # on every signature line: the key's id says which officer it was

_INFO: Final = b"cloister-audit/v2 officer signature"


def signing_key(identity: OfficerKey) -> Ed25519PrivateKey:
    """The key that an officer signs with."""
    secret = HKDF(hashes.SHA256(), 32, None, _INFO).derive(str(identity).encode())
    return Ed25519PrivateKey.from_private_bytes(secret)


def signer_of(identity: OfficerKey) -> VerifierKey:
    """The public half, for `officers.json`."""
    return VerifierKey(NAME, signing_key(identity).public_key().public_bytes_raw())
