"""One Cloister a state tree."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.host.errors import StateInUseError


@contextmanager
def locked(file: Path, state: Path) -> Iterator[None]:
    """Hold the state tree for this process; the kernel lets go when the process ends.

    Args:
        file: the lock file; its content is the holder's process id, for people.
        state: the tree, as the error names it.

    Raises:
        StateInUseError: another process holds it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUseError(state, os.pread(descriptor, 16, 0).decode().strip()) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(file: Path) -> int | None:
    """The process that holds the lock, or None where nobody does."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(descriptor, 16, 0) or 0)
    finally:
        os.close(descriptor)
    return None
