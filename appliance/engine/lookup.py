"""Drafts without a draft model: what followed the last tokens when they stood there before.

An answer that copies from its prompt (a redacted note, an extract, a quotation) is guessed nearly
whole. The guesses are checked by the model in one step and change nothing but the time it takes.
Source: "prompt lookup decoding", Saxena 2023; LLMA, Yang et al. 2023 (arXiv:2304.04487).
"""

from __future__ import annotations

_GRAM = 3  # tokens that must repeat for a place to be looked at
# A wrong draft costs most of a step, so short coincidences are not worth one.
_FIRST_MATCH = 5  # tokens that must repeat for a draft
_WARY_MATCH = 12  # the same after a draft that was refused at once
_LONGEST_MATCH = 16


class Lookup:
    """The places of all short runs of tokens in one sequence, found as it grows."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._places: dict[tuple[int, ...], int] = {}
        self._indexed = _GRAM
        self._needed = _FIRST_MATCH

    def draft(self, tokens: list[int], most: int) -> list[int]:
        """At most `most` tokens that may follow; none where nothing repeats."""
        self._index(tokens)
        place = self._places.get(tuple(tokens[-_GRAM:]))
        if most < 1 or place is None or self._match(tokens, place) < self._needed:
            return []
        draft = tokens[place : place + most]
        period = len(tokens) - place
        # What repeats up to the very end is taken to go on repeating.
        return [draft[index % period] for index in range(most)]

    def learn(self, drafted: int, accepted: int) -> None:
        """Take note of how a draft fared."""
        self._needed = _WARY_MATCH if 2 * accepted < drafted else _FIRST_MATCH

    def _index(self, tokens: list[int]) -> None:
        """Note each run with the place behind it; the last run has none yet."""
        for end in range(self._indexed, len(tokens)):
            self._places[tuple(tokens[end - _GRAM : end])] = end
        self._indexed = max(self._indexed, len(tokens))

    @staticmethod
    def _match(tokens: list[int], place: int) -> int:
        """How many tokens before `place` equal the last ones."""
        length = 0
        while length < _LONGEST_MATCH and place > length:
            if tokens[place - 1 - length] != tokens[-1 - length]:
                break
            length += 1
        return length
