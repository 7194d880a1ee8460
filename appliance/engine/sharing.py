"""Sequences that begin alike share cells of the KV cache instead of decoding the same again."""

from __future__ import annotations

from collections.abc import Sequence as Groups

from appliance.engine.prefixes import SHORTEST, Prefixes, common_prefix
from appliance.engine.sequence import Group, Sequence
from appliance.engine.stepper import Stepper

# Of the KV cache, for ended requests. Attention looks over all cells up to the last one in use,
# and past a quarter that costs a small model more than most beginnings save.
_PART = 4


class Sharing:
    """Finds cells for a prompt's beginning: among ended requests, or those that decode it now.

    Args:
        stepper: moves the cells; belongs to the scheduler's thread, as this object does.
        sequences: slots below this number belong to live sequences.
        prefixes: slots above them that hold beginnings of ended requests.
    """

    def __init__(self, stepper: Stepper, sequences: int, prefixes: int) -> None:
        """Hold nothing yet."""
        self._stepper = stepper
        slots = range(sequences, sequences + prefixes) if stepper.shares else range(0)
        self._prefixes = Prefixes(slots, stepper.kv_tokens // _PART)
        self._on = len(slots) > 0
        self.saved_tokens = 0  # that were not decoded again, since the start
        self.hits = 0  # prompts whose beginning was there

    @property
    def cells(self) -> int:
        """Cells that no live sequence needs, at most."""
        return self._prefixes.cells

    def join(self, group: Group, live: Groups[Group]) -> None:
        """Give a group that has just got its slots the cells that exist, or somebody to wait for.

        Args:
            group: the one that joins.
            live: those that joined before.
        """
        if not self._on:
            return
        leader, length = _leader(group, live)
        found = self._prefixes.match(_prompt(group), group.adapter)
        if leader is not None and (found is None or length >= found[1] + SHORTEST):
            group.leader = leader, length
        elif found is not None:
            self._share(*found, group)

    def waits(self, group: Group) -> bool:
        """Whether the group's beginning is still being decoded by its leader."""
        if group.leader is None:
            return False
        leader, length = group.leader
        if leader.slot >= 0 and leader.decoded < length:
            return True
        group.leader = None
        if leader.slot >= 0:
            self._share(leader.slot, length, group)
        elif (found := self._prefixes.match(_prompt(group), group.adapter)) is not None:
            self._share(*found, group)
        return False

    def _share(self, slot: int, length: int, group: Group) -> None:
        self._stepper.share(slot, group.first, length)
        self.saved_tokens += length
        self.hits += 1

    def keep(self, sequence: Sequence) -> None:
        """Let the cells of a sequence that ends outlive it, if they may serve again."""
        if not self._on or sequence.slot < 0:
            return
        slot, freed = self._prefixes.keep(sequence.tokens[: sequence.decoded], sequence.adapter)
        for each in freed:
            self._stepper.forget_slot(each)
        if slot is not None:
            self._stepper.keep(sequence, slot)

    def give_up_one(self) -> bool:
        """Free the cells that served longest ago; False where there are none."""
        if not self._prefixes:
            return False
        self._stepper.forget_slot(self._prefixes.drop_oldest())
        return True


def _prompt(group: Group) -> list[int]:
    """What a group has to decode, but for one token: somebody must compute its logits."""
    return group.first.tokens[:-1]


def _leader(group: Group, live: Groups[Group]) -> tuple[Sequence | None, int]:
    """The live sequence that has, or will have, most of the cells of a group's prompt."""
    prompt = _prompt(group)
    best: tuple[Sequence | None, int] = None, SHORTEST - 1
    for other in live:
        if other.live and other.adapter is group.adapter:
            length = common_prefix(other.first.tokens, prompt)
            if length > best[1]:
                best = other.first, length
    return best
