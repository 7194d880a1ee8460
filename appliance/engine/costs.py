"""What a step of answers takes by its tokens, and how many guesses are worth it.

Pure arithmetic over what was measured; nothing here knows llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence

_MEMORY = 0.99  # what a step counts for after the next one
_OUTLIER = 3.0  # times what was expected; a step that took longer was interrupted
_APART = 0.05  # variance of the steps' tokens from which on a line can be told from a point
_LEAST = 0.02  # of a mean step, what an empty one takes at least


class StepCosts:
    """Seconds of a step by its tokens: a line through the latest steps, by least squares.

    On a GPU sixteen tokens cost little more than one, on a processor nearly as much as sixteen
    steps; it depends on model, number formats, and what else runs. A line is told from few steps,
    and from such as were disturbed.
    """

    def __init__(self) -> None:
        """Nothing has been measured; any step is as good as any other."""
        self._weight = self._tokens = self._squares = 0.0
        self._seconds = self._products = 0.0
        self._base, self._slope = 1.0, 0.0

    def of(self, tokens: int) -> float:
        """Seconds that a step of so many tokens is likely to take."""
        return self._base + self._slope * tokens

    def took(self, tokens: int, seconds: float) -> None:
        """A step of so many tokens took so long.

        While all steps are of one size, more tokens are taken to cost nothing; so they are tried.
        """
        if self._weight:
            seconds = min(seconds, _OUTLIER * self.of(tokens))
        self._weight = self._weight * _MEMORY + 1
        self._tokens = self._tokens * _MEMORY + tokens
        self._squares = self._squares * _MEMORY + tokens * tokens
        self._seconds = self._seconds * _MEMORY + seconds
        self._products = self._products * _MEMORY + tokens * seconds
        spread = self._weight * self._squares - self._tokens * self._tokens
        if spread > _APART * self._weight * self._weight:
            along = self._weight * self._products - self._tokens * self._seconds
            self._slope = max(0.0, along / spread)
        least = _LEAST * self._seconds
        self._base = max(least, self._seconds - self._slope * self._tokens) / self._weight

    def worth(self, known: int, chances: Sequence[Sequence[float]], room: int) -> list[int]:
        """How many guesses of each sequence give most tokens a second.

        Args:
            known: tokens that the step carries anyway.
            chances: of each sequence in the step, falling: that a guess and all before it hold.
            room: guesses at most.

        Returns:
            As many numbers as sequences; the likeliest guesses go first.
        """
        ranked = [(chance, index) for index, each in enumerate(chances) for chance in each]
        ranked.sort(reverse=True)
        gained = float(len(chances))  # each sequence draws one token without any guess
        best, pace = 0, gained / self.of(known)
        for count, (chance, _) in enumerate(ranked[:room], 1):
            gained += chance
            if gained / self.of(known + count) > pace:
                best, pace = count, gained / self.of(known + count)
        counts = [0] * len(chances)
        for _, index in ranked[:best]:
            counts[index] += 1
        return counts
