"""The community's test vectors of age: X25519, hybrid keys, passphrases, malformed headers.

tests/support/age_vectors.json holds those of https://c2sp.org/CCTV/age (free of conditions) that
are not armored and below 6 KiB: what to expect, keys, SHA-256 of the plain text, the file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from audit.age import decrypt
from audit.agekeys import parse_identity
from audit.errors import AgeFormatError, NoMatchingIdentityError
from audit.passphrase import Passphrase
from audit.stanza import Opener

VECTORS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "support" / "age_vectors.json").read_text()
)
FAILURES = {
    "no match": NoMatchingIdentityError,
    "header failure": AgeFormatError,
    "HMAC failure": AgeFormatError,
    "payload failure": AgeFormatError,
}


def openers(vector: dict[str, Any]) -> list[Opener]:
    keys: list[Opener] = [parse_identity(line) for line in vector["identity"]]
    return keys + [Passphrase(text) for text in vector["passphrase"]]


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_a_vector_comes_out_as_its_makers_say(name: str) -> None:
    vector = VECTORS[name]
    sealed = base64.b64decode(vector["file"])
    if vector["expect"] == "success":
        plain = decrypt(sealed, openers(vector))
        assert hashlib.sha256(plain).hexdigest() == vector["payload"]
    else:
        with pytest.raises(FAILURES[vector["expect"]]):
            decrypt(sealed, openers(vector))


def test_there_are_vectors_of_every_kind() -> None:
    for kind in ("hybrid", "scrypt", "x25519", "stanza", "hmac", "stream"):
        assert any(name.startswith(kind) for name in VECTORS), kind
