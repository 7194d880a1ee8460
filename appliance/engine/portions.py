"""How many prompt tokens a step carries while answers run, and whose.

Pure arithmetic over what was measured; nothing here knows llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence

_SHARE = 2.0  # time for prompts, in steps of answers, while few prompts wait
_CROWD = 4  # answers to one waiting prompt; with fewer, prompts get more time
_LEAST = 16  # tokens; less costs nearly as much as these
_OLDEST = 4  # the prompt that waits longest gets at least this part of a step
_SMOOTHING = 0.2  # weight of the latest step in the means


class Portions:
    """Sizes the pieces of prompts by what steps took lately.

    Answers that run would otherwise stand still for as long as a long prompt takes. While none
    runs, or too little is known, a piece has its greatest size.

    Args:
        most: tokens of one piece at most.
    """

    def __init__(self, most: int) -> None:
        """Nothing has been measured."""
        self._most = most
        self._answer_seconds = 0.0
        self._token_seconds = 0.0

    def answered(self, seconds: float) -> None:
        """A step that carried answers took so long."""
        self._answer_seconds = _mean(self._answer_seconds, seconds)

    def read(self, tokens: int, seconds: float) -> None:
        """A step that carried so many prompt tokens took so long."""
        self._token_seconds = _mean(self._token_seconds, seconds / tokens)

    def size(self, answers: int, prompts: int) -> int:
        """Prompt tokens of the next step, while so many sequences answer and so many are read.

        One newcomer among many answers slows them down little; where many wait, they get more
        time, since a step that carries few answers wastes most of what it costs.
        """
        if not (answers and self._answer_seconds and self._token_seconds):
            return self._most
        crowd = max(1.0, prompts * _CROWD / answers)
        tokens = int(_SHARE * crowd * self._answer_seconds / self._token_seconds)
        return min(self._most, max(_LEAST, prompts, tokens))


def divide(pending: Sequence[int], room: int) -> list[int]:
    """Who gets how many of the prompt tokens of a step.

    The prompt with the fewest tokens left goes first, which is what lets most first tokens come
    soonest; the oldest has a part of every step, so that it is never starved. Tokens of one
    sequence lie together, which is what attention over a shared cache needs to skip the cells of
    others.

    Args:
        pending: tokens that each prompt still needs, the oldest first; all positive.
        room: tokens of the step, at least one.

    Returns:
        As many numbers, between 0 and what is needed; their sum is `room` or all that is needed.
    """
    given = [0] * len(pending)
    given[0] = min(pending[0], max(1, room // _OLDEST))
    left = room - given[0]
    for index in sorted(range(len(pending)), key=pending.__getitem__):
        more = min(pending[index] - given[index], left)
        given[index] += more
        left -= more
    return given


def _mean(before: float, latest: float) -> float:
    return before + _SMOOTHING * (latest - before) if before else latest
