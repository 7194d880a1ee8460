"""The quarantine: a folder of its own for each model that is on its way in. Nothing in it runs.

It holds the copy, and a note of what was copied from where and how far. The note never claims
bytes that might not be on the disk yet, so that an import goes on rightly after any kind of end.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.importing.errors import QuarantineError
from appliance.importing.source import Stamp

_NOTE = "import.json"
_LOCK = "lock"


class Note(BaseModel):
    """How far a copy is.

    Args:
        stamps: the files that it is made of.
        kept: bytes of the copy that are on the disk for good.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stamps: tuple[Stamp, ...]
    kept: int = Field(ge=0)


class Quarantine:
    """The folder of one model.

    Args:
        top: the folder of all quarantines.
        name: of the model.
        as_is: whether the weights are what is copied, or made of it.
    """

    def __init__(self, top: Path, name: str, *, as_is: bool = True) -> None:
        """Touch nothing yet."""
        self.name = name
        self.folder = top / name
        self.weights = self.folder / f"{name}.gguf"
        self.copy = self.weights if as_is else self.folder / "original.gguf"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep other imports out of it.

        Raises:
            QuarantineError: it can not be made, or another import uses it.
        """
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise QuarantineError(
                f"{self.folder} can not be used ({error.strerror}). Run this as the user that owns"
                " the state tree."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise QuarantineError(
                f"Another import of {self.folder.name!r} is under way. Wait for it, or give this"
                " one another --name."
            ) from error
        else:
            try:
                yield
            finally:
                if not self.copy.exists():
                    self.empty()
        finally:
            os.close(lock)

    def kept(self, stamps: tuple[Stamp, ...]) -> int:
        """Bytes that an earlier import of the same files has copied for good."""
        try:
            note = Note.model_validate_json((self.folder / _NOTE).read_bytes())
            there = self.copy.stat().st_size
        except (OSError, ValidationError):
            return 0
        return note.kept if note.stamps == stamps and note.kept <= there else 0

    def keep(self, stamps: tuple[Stamp, ...], count: int) -> None:
        """Note that so many bytes of the copy are on the disk for good."""
        new = self.folder / f"{_NOTE}.new"
        note = Note(stamps=stamps, kept=count).model_dump_json().encode()
        with open(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as stream:
            stream.write(note)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self.folder / _NOTE)

    def size(self) -> int:
        """Bytes of everything in the folder."""
        try:
            return sum(file.stat().st_size for file in self.folder.iterdir())
        except FileNotFoundError:
            return 0

    def empty(self) -> None:
        """Remove the folder with all that it holds."""
        shutil.rmtree(self.folder, ignore_errors=True)


def unfinished(top: Path) -> list[Quarantine]:
    """What imports that ended early, or still go on, have in a folder of quarantines."""
    try:
        names = sorted(folder.name for folder in top.iterdir() if folder.is_dir())
    except OSError:
        return []
    return [Quarantine(top, name) for name in names]
