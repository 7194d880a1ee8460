"""Drafts without a draft model: an answer that copies is guessed to go on copying.

A redacted note, an extract or a quotation follows a text word for word, breaks off where it says
something else, and goes on a little further. The guesses are checked by the model in one step and
change nothing but the time it takes.
Source: "prompt lookup decoding", Saxena 2023; LLMA, Yang et al. 2023 (arXiv:2304.04487). Going on
behind a break, and chances that are learnt, are ours; docs/decisions/0020.
"""

from __future__ import annotations

from typing import NamedTuple

# Tokens that must repeat before anything is taken for a copy; fewer are found by accident.
_GRAM = 4
# Tokens behind a break among which copying may go on: a name, a date, an address.
_WINDOW = 32
_ENDING = 3  # tokens at most that are compared there
_UNLIKELY = 0.05  # chance below which nothing is guessed
_MEMORY = 0.99  # what a look counts for after the next one of its kind
_LOOKS = 2.0  # that the first chances count for
_KINDS = 6  # of runs: none, 1, 2 to 3, 4 to 7, 8 to 15, longer ones
_FIRST = (0.5, 0.5, 0.65, 0.8, 0.85, 0.9)  # chances before anything was seen
_FIRST_RISKY = 0.8  # of them, behind a token behind which copying broke before


class Guesses(NamedTuple):
    """Tokens that may follow, each with the chance that it and all before it are right."""

    tokens: list[int]
    chances: list[float]


NONE = Guesses([], [])


class Habits:
    """How often copying has gone on for one more token, in the answers of one runner lately.

    Learnt from every token that could have been guessed, whether it was or not, so that nothing
    that is not tried any more stays unknown.
    """

    def __init__(self) -> None:
        """Expect what most texts do."""
        self._seen = [[_LOOKS * chance, _LOOKS] for chance in _FIRST]
        self._seen += [[_LOOKS * chance * _FIRST_RISKY, _LOOKS] for chance in _FIRST]

    def chance(self, run: int, risky: bool) -> float:
        """The chance of one more token.

        Args:
            run: tokens that were copied up to here.
            risky: whether copying broke behind the last of them before, in the same answer.
        """
        good, all_ = self._seen[_kind(run, risky)]
        return good / all_

    def saw(self, run: int, risky: bool, went_on: bool) -> None:
        """Copying went on for one more token, or broke."""
        seen = self._seen[_kind(run, risky)]
        seen[0] = seen[0] * _MEMORY + went_on
        seen[1] = seen[1] * _MEMORY + 1


def _kind(run: int, risky: bool) -> int:
    return min(run.bit_length(), _KINDS - 1) + _KINDS * risky


class Lookup:
    """Follows one answer along what it copies.

    Args:
        habits: of all answers.
        read: tokens of the prompt; what comes behind them is the answer.
    """

    def __init__(self, habits: Habits, read: int) -> None:
        """Copy nothing yet."""
        self._habits = habits
        self._read = read
        self._places: dict[tuple[int, ...], int] = {}
        self._indexed = _GRAM
        self._next: int | None = None  # the place of what is copied next
        self._run = 0
        self._broke: int | None = None  # the place of what was not copied any more
        self._risky: set[int] = set()

    def draft(self, tokens: list[int], most: int) -> Guesses:
        """At most `most` tokens that may follow; none where nothing is copied.

        Args:
            tokens: prompt and answer so far; only ever the same ones with others behind them.
        """
        self._follow(tokens)
        if self._next is None:
            return NONE
        guesses, chances, chance, last = [], [], 1.0, tokens[-1]
        period = len(tokens) - self._next
        for ahead in range(most):
            chance *= self._habits.chance(self._run + ahead, last in self._risky)
            if chance < _UNLIKELY:
                break
            # What repeats up to the very end is taken to go on repeating.
            last = tokens[self._next + ahead % period]
            guesses.append(last)
            chances.append(chance)
        return Guesses(guesses, chances)

    def _follow(self, tokens: list[int]) -> None:
        """Look at each new token of the answer: is it what was to be copied?"""
        for place in range(self._read, len(tokens)):
            if self._next is None or not self._goes_on(tokens, place):
                self._find(tokens, place + 1)
        self._read = len(tokens)

    def _goes_on(self, tokens: list[int], place: int) -> bool:
        assert self._next is not None  # noqa: S101 - for the type checker
        before = tokens[place - 1]
        went_on = tokens[self._next] == tokens[place]
        self._habits.saw(self._run, before in self._risky, went_on)
        if went_on:
            self._next += 1
            self._run += 1
            return True
        if self._run > 1:
            self._risky.add(before)
        if self._run > 1 or self._broke is None:
            self._broke = self._next
        return False

    def _find(self, tokens: list[int], end: int) -> None:
        """Where the last of the first `end` tokens are copied from, if they are."""
        for place in range(self._indexed, end):
            self._places[tuple(tokens[place - _GRAM : place])] = place
        self._indexed = max(self._indexed, end)
        self._next = self._places.get(tuple(tokens[end - _GRAM : end]))
        self._run = _GRAM if self._next is not None else 0
        if self._next is None and self._broke is not None:
            self._resume(tokens, self._broke, end)

    def _resume(self, tokens: list[int], broke: int, end: int) -> None:
        """Go on where a little behind the break there is what the answer says now.

        The longest ending wins, then the nearest: after a label, a name is skipped.
        """
        last, stop = tokens[end - 1], min(broke + _WINDOW, end - 1)
        for place in range(broke, stop):
            if tokens[place] != last:
                continue
            length = 1
            while (
                length < _ENDING
                and place - length >= broke
                and tokens[place - length] == tokens[end - 1 - length]
            ):
                length += 1
            if length > self._run:
                self._next, self._run = place + 1, length
