"""Officers' key files: age identity files, as `age-keygen` writes them too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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
