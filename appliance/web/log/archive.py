"""An export as one tar file (POSIX ustar), made while it is sent, from any byte on.

The files' sizes are known beforehand and headers hold nothing that changes: so the same export
gives the same bytes each time, and a download that broke off goes on where it ended.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = 512  # bytes
_PIECE: Final = 256 * 1024  # bytes read at once
_MODE: Final = 0o644


@dataclass(frozen=True)
class _Member:
    path: Path
    name: str
    size: int

    @property
    def length(self) -> int:
        """Bytes of it in the archive, with header and padding."""
        return _BLOCK + _padded(self.size)

    def header(self) -> bytes:
        info = tarfile.TarInfo(self.name)
        info.size, info.mode = self.size, _MODE
        return info.tobuf(tarfile.USTAR_FORMAT)


class Archive:
    """The archive of one finished export."""

    def __init__(self, folder: Path, name: str) -> None:
        """List the files.

        Args:
            folder: of the export.
            name: of the folder that the archive unpacks to.
        """
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._members = [
            _Member(path, f"{name}/{path.relative_to(folder).as_posix()}", path.stat().st_size)
            for path in files
        ]
        self.size = sum(member.length for member in self._members) + 2 * _BLOCK

    def read(self, start: int) -> Iterator[bytes]:
        """The bytes of the archive from `start` on."""
        for member in self._members:
            if start < member.length:
                yield from _read(member, start)
            start = max(0, start - member.length)
        yield bytes(2 * _BLOCK - start)


def _read(member: _Member, start: int) -> Iterator[bytes]:
    if start < _BLOCK:
        yield member.header()[start:]
    place = max(0, start - _BLOCK)
    with member.path.open("rb") as file:
        file.seek(place)
        while piece := file.read(_PIECE):
            yield piece
    yield bytes(_padded(member.size) - max(place, member.size))


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
