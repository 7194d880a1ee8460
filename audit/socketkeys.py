"""Keys of records about subjects, from the writer: for programs that must not read keys.db."""

from __future__ import annotations

from typing import Final

from audit.client import AuditClient
from audit.subject import key_of_word

_PIECE: Final = 256  # records asked for at once


class SocketKeys:
    """The keys as they are now; make a new one for each export, since an erasure may come."""

    def __init__(self, log: AuditClient) -> None:
        """Prepare; nothing is asked yet.

        Args:
            log: the writer's client.
        """
        self._log = log
        self._first = -1
        self._words: list[str] = []

    def record_key(self, index: int, blob: bytes) -> bytes:
        """The key of a record about a subject; raises LogUnavailableError too.

        Args:
            index: the record's place in the log.
            blob: its content blob, which the writer reads itself.

        Raises:
            ErasedError: if the subject was erased.
            KeyFileError: if the key is lost.
        """
        del blob
        first = index - index % _PIECE
        if first != self._first:
            self._words = self._log.subject_keys(list(range(first, first + _PIECE)))
            self._first = first
        return key_of_word(self._words[index - first])
