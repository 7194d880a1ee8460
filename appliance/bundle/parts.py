"""A bundle in one file, or split into `NAME.001`, `NAME.002` … for media that hold no more."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from appliance.bundle.errors import DestinationError, LengthError, UnreadableError
from appliance.bundle.limits import LIMITS

_NUMBERED = re.compile(r"(?P<name>.+)\.(?P<number>\d{3})")


def part(path: Path, number: int) -> Path:
    """The file of a part; the first is number 1."""
    return path.with_name(f"{path.name}.{number:03}")


def files_of(path: Path) -> list[Path]:
    """The file or files of a bundle, in order.

    Args:
        path: its name, or that of one of its parts.

    Raises:
        UnreadableError: it is not there, or a part in the middle is missing.
    """
    if path.is_file() and not _NUMBERED.fullmatch(path.name):
        return [path]
    if (named := _NUMBERED.fullmatch(path.name)) and path.is_file():
        path = path.with_name(named["name"])
    found = _numbered(path)
    if not found:
        raise UnreadableError(f"There is no bundle {path}. See that the medium is mounted.")
    wanted = [part(path, number) for number in range(1, len(found) + 1)]
    if missing := [one.name for one in wanted if one not in found]:
        raise UnreadableError(
            f"The bundle's part {missing[0]} is missing beside the others in {path.parent}. Copy"
            " all parts into one folder."
        )
    return found


def leftovers(path: Path) -> list[Path]:
    """Every file that a bundle of this name may have left: the whole and parts of any number."""
    return [file for file in (path, *_numbered(path)) if file.is_file()]


def _numbered(path: Path) -> list[Path]:
    name = re.sub(r"([*?[])", r"[\1]", path.name)
    return sorted(path.parent.glob(f"{name}.[0-9][0-9][0-9]"))


class PartsReader:
    """Reads the parts of a bundle as one file, from its beginning on."""

    def __init__(self, path: Path) -> None:
        """Open every part.

        Raises:
            UnreadableError: one is missing or can not be read.
        """
        self._stack = ExitStack()
        self._files: list[BinaryIO] = []
        try:
            for file in files_of(path):
                self._files.append(self._stack.enter_context(file.open("rb")))
            self.size = sum(os.fstat(file.fileno()).st_size for file in self._files)
        except OSError as error:
            self._stack.close()
            raise UnreadableError(
                f"{error.filename or path} can not be read: {error.strerror}. See that you may"
                " read it, and that the medium is whole."
            ) from error

    def __enter__(self) -> Self:
        """The reader itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the parts."""
        self._stack.close()

    def read(self, count: int) -> bytes:
        """Exactly so many bytes.

        Raises:
            LengthError: the bundle ends before.
            UnreadableError: the medium fails.
        """
        pieces: list[bytes] = []
        while count and self._files:
            try:
                piece = self._files[0].read(count)
            except OSError as error:
                raise UnreadableError(
                    f"The medium fails to give the bundle's bytes ({error.strerror}). Copy the"
                    " bundle onto another one."
                ) from error
            if not piece:
                self._files.pop(0)
            pieces.append(piece)
            count -= len(piece)
        if count:
            raise LengthError(
                "The bundle ends too early: it was not copied whole, or a part of it is missing."
                " Copy it again."
            )
        return b"".join(pieces)


class PartsWriter:
    """Writes one long file as parts of one size, or as one file; can go on where one broke off."""

    def __init__(self, path: Path, part_size: int, start: int) -> None:
        """Go on at an offset.

        Args:
            path: name of the whole.
            part_size: bytes of a part; 0 writes one file.
            start: offset in the whole, in bytes; what is behind it is cut off.
        """
        self._path = path
        self._size = part_size
        self._at = start
        self._file: BinaryIO | None = None

    @property
    def at(self) -> int:
        """Bytes of the whole so far."""
        return self._at

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            DestinationError: the disk refuses, or there are too many parts.
        """
        view = memoryview(data)
        while view:
            room = self._size - self._at % self._size if self._size else len(view)
            piece = view[:room]
            try:
                self._opened().write(piece)
            except OSError as error:
                raise DestinationError(
                    f"{self._path} can not be written: {error.strerror}. Free some room, then run"
                    " the same command again: it goes on from here."
                ) from error
            self._at += len(piece)
            view = view[len(piece) :]
            if self._size and self._at % self._size == 0:
                self.close()

    def close(self) -> None:
        """Have the disk keep what was written."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            number, offset = divmod(self._at, self._size) if self._size else (0, self._at)
            if number >= LIMITS.parts:
                raise DestinationError(
                    f"The bundle would have more than {LIMITS.parts} parts. Choose larger parts."
                )
            path = part(self._path, number + 1) if self._size else self._path
            path.touch(mode=0o644)
            self._file = path.open("r+b")
            self._file.seek(offset)
            self._file.truncate()
        return self._file
