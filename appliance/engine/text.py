"""From token bytes to text that may be shown: whole characters, and nothing of a stop string."""

from __future__ import annotations

import codecs


class Assembler:
    """Joins the bytes of tokens to text, holding back what might still change.

    Bytes of an unfinished UTF-8 character wait for the rest of it, and so does the beginning of a
    stop string. However the bytes are cut into pieces, the text is the same.

    Args:
        stops: texts that end the answer; they are not part of it.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        """Start with nothing held back."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = stops
        self._held = ""
        self.stopped = False

    def push(self, piece: bytes) -> str:
        """Take a token's bytes; return the text that became certain."""
        return self._take(self._decoder.decode(piece))

    def finish(self) -> str:
        """No more bytes come: return what is still held back, cut characters as U+FFFD."""
        text = self._take(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return text + held

    def _take(self, text: str) -> str:
        if self.stopped:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        end = self._first_stop(text)
        if end is not None:
            self.stopped, self._held = True, ""
            return text[:end]
        keep = self._open_stop(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _first_stop(self, text: str) -> int | None:
        """Where the stop string that is complete first begins.

        The stop that ends first wins, so that the answer does not depend on where tokens end.
        """
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        return min(found)[1] if found else None

    def _open_stop(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        longest = max(len(stop) for stop in self._stops) - 1
        for length in range(min(longest, len(text)), 0, -1):
            end = text[len(text) - length :]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0
