"""Small files that are whole and durable, or not there."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, data: bytes, mode: int) -> None:
    """Write a file in one step: after a crash there is the old one or the new one.

    Args:
        path: the file.
        data: what it shall hold.
        mode: its permissions.

    Raises:
        OSError: if the disk refuses.
    """
    fresh = path.with_name(path.name + ".new")
    fd = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
