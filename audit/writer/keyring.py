"""Signing keys on disk: only the *next* epoch's, wrapped under a key-encryption key.

The running epoch's key lives in memory alone, so who takes the disk can not sign for what is
running, and no key of a past epoch exists anywhere.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from audit.errors import KeyFileError
from audit.secret import random_secret
from audit.writer.files import write_durably

_KEK: Final = "kek"
_KEK_SIZE: Final = 32  # bytes


class Keyring:
    """The `keys` folder."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, or make it.

        Args:
            folder: made with mode 0700 if it does not exist.
        """
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def make_kek(self) -> None:
        """Make the key-encryption key of a new log, if there is none."""
        if not (self._folder / _KEK).exists():
            self._write(_KEK, bytes(random_secret(_KEK_SIZE)))

    def store(self, epoch: int, key: Ed25519PrivateKey) -> None:
        """Keep an epoch's signing key until that epoch opens; durable when this returns."""
        self._write(_name(epoch), aes_key_wrap(self._kek(), key.private_bytes_raw()))

    def load(self, epoch: int, public: bytes) -> Ed25519PrivateKey:
        """Fetch the signing key of the epoch that is about to open.

        Args:
            epoch: its number.
            public: the raw public key that the log promised for it.

        Raises:
            KeyFileError: if it is missing or another key.
        """
        path = self._folder / _name(epoch)
        try:
            key = Ed25519PrivateKey.from_private_bytes(
                aes_key_unwrap(self._kek(), path.read_bytes())
            )
        except FileNotFoundError as error:
            raise KeyFileError(f"{path} is missing. {_REMEDY}") from error
        except (InvalidUnwrap, ValueError) as error:
            raise KeyFileError(f"{path} does not open under {_KEK}. {_REMEDY}") from error
        if key.public_key().public_bytes_raw() != public:
            raise KeyFileError(f"{path} is not the key that the log promised. {_REMEDY}")
        return key

    def forget_all_but(self, epoch: int) -> None:
        """Erase the signing keys of every epoch but this one."""
        for path in self._folder.glob("epoch-*.key"):
            if path.name != _name(epoch):
                with path.open("r+b", buffering=0) as file:
                    file.write(bytes(path.stat().st_size))
                    os.fsync(file.fileno())
                path.unlink()

    def _kek(self) -> bytes:
        path = self._folder / _KEK
        try:
            kek = path.read_bytes()
        except FileNotFoundError as error:
            raise KeyFileError(f"{path} is missing. {_REMEDY}") from error
        if len(kek) != _KEK_SIZE:
            raise KeyFileError(f"{path} is damaged. {_REMEDY}")
        return kek

    def _write(self, name: str, data: bytes) -> None:
        write_durably(self._folder / name, data, 0o600)


_REMEDY: Final = (
    "Restore the folder keys/ that belongs to this audit.db. If it is lost, the log can be read "
    "and verified but not continued: start a new one in an empty folder."
)


def _name(epoch: int) -> str:
    return f"epoch-{epoch}.key"
