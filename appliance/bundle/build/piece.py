"""One file on its way into a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Piece:
    """A file and its place.

    Args:
        path: inside the bundle.
        source: where its bytes are.
        mode: permissions that it is unpacked with.
    """

    path: str
    source: Path
    mode: Literal["0644", "0755"] = "0644"


def folder_pieces(folder: Path, prefix: str) -> list[Piece]:
    """The files of a folder and of those in it, without hidden ones.

    Args:
        folder: the folder.
        prefix: what their paths begin with, without a slash at its end.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith((".", "__")) for part in inside.parts)
        if path.is_file() and not hidden:
            mode: Literal["0644", "0755"] = "0755" if path.stat().st_mode & 0o100 else "0644"
            found.append(Piece(f"{prefix}/{inside.as_posix()}", path, mode))
    return found
