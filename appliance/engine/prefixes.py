"""Which beginnings of prompts lie in the KV cache, kept by use.

Bookkeeping only: tokens and slots. Nothing here touches llama.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHORTEST = 16  # tokens; to share fewer costs more than it saves
_SHORT_TAIL = 256  # tokens that may be decoded again rather than hold a slot of their own


def common_prefix(first: list[int], second: list[int]) -> int:
    """Number of leading tokens that two sequences have in common."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        # What is compared are slices, in C: a loop over tokens would take a step's time.
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass
class Kept:
    """Tokens whose cells a slot holds, and when they last served.

    Args:
        adapter: that the cells were computed with; they are wrong with any other, and with none.
    """

    slot: int
    tokens: list[int]
    used: int
    adapter: object | None = None

    def shared(self, tokens: list[int], adapter: object | None) -> int:
        """Leading tokens whose cells serve a sequence that has this adapter."""
        return common_prefix(self.tokens, tokens) if self.adapter is adapter else 0


class Prefixes:
    """Tokens that ended requests have left in the cache.

    Args:
        slots: sequence ids of llama.cpp that belong to this object.
        most_tokens: tokens that all of them may hold together.
    """

    def __init__(self, slots: Iterable[int], most_tokens: int) -> None:
        """Hold nothing yet."""
        self._free = list(slots)
        self._most_tokens = most_tokens
        self._kept: list[Kept] = []
        self._clock = 0

    def __bool__(self) -> bool:
        """Whether anything is held."""
        return bool(self._kept)

    @property
    def cells(self) -> int:
        """Tokens that are held; beginnings that two share are counted twice."""
        return sum(len(kept.tokens) for kept in self._kept)

    def match(self, prompt: list[int], adapter: object | None = None) -> tuple[int, int] | None:
        """The slot that shares most with a prompt, and how many tokens; None if too few."""
        best = max(self._kept, key=lambda kept: kept.shared(prompt, adapter), default=None)
        if best is None:
            return None
        length = best.shared(prompt, adapter)
        if length < SHORTEST:
            return None
        self._touch(best)
        return best.slot, length

    def keep(
        self, tokens: list[int], adapter: object | None = None
    ) -> tuple[int | None, list[int]]:
        """Make room for the tokens of a request that has ended.

        Returns:
            The slot that shall hold them, None if what is held covers them or they are too many;
            and the slots whose cells are to be freed first.
        """
        if not SHORTEST <= len(tokens) <= self._most_tokens:
            return None, []
        freed = []
        for kept in list(self._kept):
            shared = kept.shared(tokens, adapter)
            if shared == len(tokens):
                self._touch(kept)
                return None, []
            if shared >= SHORTEST and len(kept.tokens) - shared < _SHORT_TAIL:
                freed.append(self._drop(kept))
        while self._kept and (not self._free or self.cells + len(tokens) > self._most_tokens):
            freed.append(self.drop_oldest())
        if not self._free:
            return None, freed
        kept = Kept(self._free.pop(), list(tokens), 0, adapter)
        self._kept.append(kept)
        self._touch(kept)
        return kept.slot, freed

    def drop_oldest(self) -> int:
        """Let go of what served longest ago; its slot, to be freed. Something must be held."""
        return self._drop(min(self._kept, key=lambda kept: kept.used))

    def _drop(self, kept: Kept) -> int:
        self._kept.remove(kept)
        self._free.append(kept.slot)
        return kept.slot

    def _touch(self, kept: Kept) -> None:
        self._clock += 1
        kept.used = self._clock
