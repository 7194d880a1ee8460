"""Drafts without a draft model: what followed the last tokens when they stood there before.

An answer that copies from its prompt (a redacted note, an extract, a quotation) is guessed nearly
whole. The guesses are checked by the model in one step and change nothing but the time it takes.
Source: "prompt lookup decoding", Saxena 2023; LLMA, Yang et al. 2023 (arXiv:2304.04487).
"""

from __future__ import annotations

# Tokens that must repeat for a draft. A wrong one costs most of a step, so two or three are not
# enough: over notes with labels, four saved most, on steps of a small and of a large model.
_GRAM = 4


class Lookup:
    """The places of all short runs of tokens in one sequence, found as it grows."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._places: dict[tuple[int, ...], int] = {}
        self._indexed = _GRAM

    def draft(self, tokens: list[int], most: int) -> list[int]:
        """At most `most` tokens that may follow; none where nothing repeats."""
        self._index(tokens)
        place = self._places.get(tuple(tokens[-_GRAM:]))
        if most < 1 or place is None:
            return []
        draft = tokens[place : place + most]
        period = len(tokens) - place
        # What repeats up to the very end is taken to go on repeating.
        return [draft[index % period] for index in range(most)]

    def _index(self, tokens: list[int]) -> None:
        """Note each run with the place behind it; the last run has none yet."""
        for end in range(self._indexed, len(tokens)):
            self._places[tuple(tokens[end - _GRAM : end])] = end
        self._indexed = max(self._indexed, len(tokens))
