"""keys.db read by somebody who may open records: the keys of subjects that are not erased."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from audit.errors import ErasedError, KeyFileError
from audit.subject import ID_SIZE, KEY_SIZE, bond, record_key

KEYS: Final = "keys.db"
SHRED: Final = "shred"
KEYS_VERSION: Final = 1

_APPLIANCE: Final = (
    "Records about a subject open on the appliance, as its administrator, or from an export"
)


def kek_path(folder: Path, generation: int) -> Path:
    """Where the key stands that wraps the keys of subjects.

    Args:
        folder: the log's folder.
        generation: how often it was exchanged, from 0.
    """
    return folder / SHRED / f"kek-{generation}"


def read_kek(folder: Path, generation: int) -> bytes:
    """Read the key that wraps the keys of subjects.

    Raises:
        KeyFileError: if it is not there, which is so where an old keys.db was restored.
    """
    path = kek_path(folder, generation)
    try:
        kek = path.read_bytes()
    except FileNotFoundError as error:
        raise KeyFileError(
            f"{path} is missing, so {folder / KEYS} does not open. Was an old copy of it restored? "
            f"Restore the newest {KEYS}; copies from before the last erasure are dead by design."
        ) from error
    except OSError as error:
        raise KeyFileError(f"{path} can not be read: {error.strerror}. {_APPLIANCE}.") from error
    if len(kek) != KEY_SIZE:
        raise KeyFileError(f"{path} is damaged. Restore it, if there is a copy.")
    return kek


class Vault:
    """The keys of subjects, as they lie beside a log."""

    def __init__(self, folder: Path, erased: Mapping[bytes, int]) -> None:
        """Prepare; the first record about a subject opens the file.

        Args:
            folder: the log's folder.
            erased: index of the record that erased a subject, by the subject's id.
        """
        self._folder = folder
        self._erased = erased
        self._link = b""
        self._keys: dict[bytes, bytes] | None = None

    def record_key(self, index: int, blob: bytes) -> bytes:
        """The key of a record about a subject.

        Args:
            index: the record's place in the log.
            blob: its content blob.

        Raises:
            ErasedError: if the subject was erased.
            KeyFileError: if the key is not here.
        """
        keys = self.load()
        ident = bond(self._link, blob[:ID_SIZE].ljust(ID_SIZE, b"\0"), index)
        key = keys.get(ident)
        if ident in self._erased:
            raise ErasedError(self._erased[ident])
        if key is None:
            raise KeyFileError(
                f"the key of its subject is not in {self._folder / KEYS}: an older copy of that "
                "file was restored. Restore the newest"
            )
        return record_key(key, index)

    def load(self) -> dict[bytes, bytes]:
        """The subjects' keys by id.

        Raises:
            KeyFileError: if they can not be read here.
        """
        if self._keys is None:
            self._link, self._keys = _read(self._folder)
        return self._keys


def _read(folder: Path) -> tuple[bytes, dict[bytes, bytes]]:
    """The link secret and the subjects' keys by id; the file is closed again at once."""
    path = folder / KEYS
    if not path.is_file():
        raise KeyFileError(f"{path} is not here. {_APPLIANCE}.")
    in_use = any(path.with_name(KEYS + end).exists() for end in ("-wal", "-shm"))
    mode = "mode=ro" if in_use else "mode=ro&immutable=1"
    try:
        database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)
        try:
            state = dict(database.execute("SELECT name, value FROM state"))
            wrapped = database.execute("SELECT id, key FROM subjects").fetchall()
        finally:
            database.close()
        kek = read_kek(folder, int(state["generation"]))
        link = aes_key_unwrap(kek, state["link"])
        return link, {ident: aes_key_unwrap(kek, key) for ident, key in wrapped}
    except (sqlite3.Error, KeyError, ValueError, InvalidUnwrap) as error:
        raise KeyFileError(f"{path} does not open: {error}. {_APPLIANCE}.") from error
