"""Key files: age identities of officers, as `age-keygen` writes them too, and PEM of witnesses.

Either may be locked with a passphrase: the one as an age file, which `age -d` opens, the other as
an encrypted PKCS #8, which `openssl pkey` opens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from audit.age import BEGINNING, decrypt, seal
from audit.agekeys import Identity, parse_identity
from audit.errors import AgeFormatError, KeyFileError, NoMatchingIdentityError
from audit.hybrid import HybridIdentity
from audit.passphrase import WORK, Passphrase

AskPassphrase = Callable[[str], str]
"""Told the name of a locked key file, gives its passphrase."""

OfficerKey = Identity | HybridIdentity

_MARK: Final = "AGE-SECRET-KEY-"
_MAX_SIZE: Final = 64 * 1024  # bytes
_ARMOR: Final = b"-----BEGIN AGE"
_LOCKED_PEM: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def read_identities(path: Path, ask: AskPassphrase | None = None) -> list[OfficerKey]:
    """Read the secret keys of a file.

    Args:
        path: the file.
        ask: for the passphrase, if it is locked; None if nobody can be asked.

    Raises:
        KeyFileError: if there is none in it, or it stays locked.
    """
    raw = _read(path)
    if raw.startswith(BEGINNING):
        raw = _unlock(path, raw, ask)
    lines = [line.strip() for line in raw.decode("ascii", "replace").splitlines()]
    try:
        identities = [parse_identity(line) for line in lines if line.startswith(_MARK)]
    except AgeFormatError as error:
        raise KeyFileError(f"{path}: {error}") from error
    if not identities:
        hint = "It is an armored age file: unlock it with age -d first. " * raw.startswith(_ARMOR)
        raise KeyFileError(f"{path} holds no secret key ({_MARK}1…). {hint}".rstrip())
    return identities


def identity_text(identity: OfficerKey, created: str) -> str:
    """An officer's key as a file's text.

    Args:
        identity: the key.
        created: when it was made, RFC 3339.
    """
    return f"# created: {created}\n# public key: {identity.recipient}\n{identity}\n"


def lock(text: str, passphrase: str, work: int = WORK) -> bytes:
    """An officer's key file, locked.

    Args:
        text: the file's text.
        passphrase: what unlocks it.
        work: logarithm of scrypt's N.
    """
    return seal(text.encode(), [Passphrase(passphrase, work)])


def witness_key_text(key: Ed25519PrivateKey, passphrase: str | None = None) -> str:
    """A witness's key as PEM (PKCS #8), which OpenSSL reads too.

    Args:
        key: the key.
        passphrase: what locks it, or None.
    """
    locked: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        locked = BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode()


def read_witness_key(path: Path, ask: AskPassphrase | None = None) -> Ed25519PrivateKey:
    """Read a witness's key.

    Args:
        path: the file.
        ask: for the passphrase, if it is locked; None if nobody can be asked.

    Raises:
        KeyFileError: if it is none, or it stays locked.
    """
    raw = _read(path)
    locked = raw.startswith(_LOCKED_PEM)
    try:
        key = load_pem_private_key(raw, _ask(path, ask).encode() if locked else None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(
            f"{path} stays locked: the passphrase is another, or the file is damaged."
            if locked
            else f"{path} is no witness's key. Make one: cloister-audit keygen --witness"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is not an Ed25519 key.")
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SIZE)
    except OSError as error:
        raise KeyFileError(f"{path} can not be read: {error.strerror}.") from error


def _unlock(path: Path, raw: bytes, ask: AskPassphrase | None) -> bytes:
    try:
        return decrypt(raw, [Passphrase(_ask(path, ask))])
    except NoMatchingIdentityError as error:
        raise KeyFileError(
            f"{path} stays locked: the passphrase is another. If it is lost, the page that was "
            "printed when the key was made brings the key back: cloister-audit recover"
        ) from error
    except AgeFormatError as error:
        raise KeyFileError(f"{path}: {error}") from error


def _ask(path: Path, ask: AskPassphrase | None) -> str:
    if ask is None:
        raise KeyFileError(
            f"{path} is locked with a passphrase. Unlock it on a machine that you trust: "
            f"age -d {path}"
        )
    return ask(str(path))
