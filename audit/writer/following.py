"""The head file follows the database, one batch behind and beside the next commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from audit.errors import NotDurableError


class HeadFollower:
    """Writes checkpoints on a thread of its own; called from the one that owns the journal."""

    def __init__(self, write: Callable[[Sequence[str]], None]) -> None:
        """Nothing is under way yet.

        Args:
            write: appends checkpoints to the head, durably.
        """
        self._write = write
        self._thread = ThreadPoolExecutor(1, "head")
        self._under_way: Future[None] | None = None

    def follow(self, notes: Sequence[str]) -> None:
        """Begin to write; `wait` must have been called since the last time."""
        if notes:
            self._under_way = self._thread.submit(self._write, notes)

    def wait(self) -> None:
        """Wait until what was begun is on the disk.

        Raises:
            NotDurableError: if its disk refuses.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            return
        try:
            under_way.result()
        except OSError as error:
            raise NotDurableError(f"The head file failed: {error}. Check its disk.") from error

    def close(self) -> None:
        """End the thread, after what is under way."""
        self._thread.shutdown()
