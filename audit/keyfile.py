"""Key files: age identities of officers, as `age-keygen` writes them too, and PEM of witnesses."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from audit.age import Identity
from audit.errors import AgeFormatError, KeyFileError

_MARK: Final = "AGE-SECRET-KEY-1"
_MAX_SIZE: Final = 64 * 1024  # bytes


def read_identities(path: Path) -> list[Identity]:
    """Read the secret keys of a file.

    Raises:
        KeyFileError: if there is none in it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SIZE).decode("ascii", "replace")
    except OSError as error:
        raise KeyFileError(f"{path} can not be read: {error.strerror}.") from error
    lines = [line.strip() for line in text.splitlines()]
    try:
        identities = [Identity.parse(line) for line in lines if line.startswith(_MARK)]
    except AgeFormatError as error:
        raise KeyFileError(f"{path}: {error}") from error
    if not identities:
        hint = "It is locked with a passphrase: unlock it with age -d first. " * (
            text.startswith(("age-encryption.org/", "-----BEGIN AGE"))
        )
        raise KeyFileError(f"{path} holds no secret key ({_MARK}…). {hint}".rstrip())
    return identities


def witness_key_text(key: Ed25519PrivateKey) -> str:
    """A witness's key as PEM (PKCS #8), which OpenSSL reads too."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def read_witness_key(path: Path) -> Ed25519PrivateKey:
    """Read a witness's key.

    Raises:
        KeyFileError: if it is none.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise KeyFileError(f"{path} can not be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise KeyFileError(
            f"{path} is no witness's key. Make one: cloister-audit keygen --witness"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is not an Ed25519 key.")
    return key
