"""What a decode step carries: who answers, whose prompt is read, and how much of it."""

from __future__ import annotations

from appliance.engine.costs import StepCosts
from appliance.engine.lookup import NONE, Guesses
from appliance.engine.options import EngineOptions
from appliance.engine.portions import Portions, divide
from appliance.engine.sequence import Group, Sequence
from appliance.engine.sharing import Sharing
from appliance.engine.stepper import Stepper

Place = tuple[Group, Sequence]
"""Who decodes: a sequence, and the group that may fork from it."""

Output = tuple[Group, Sequence, int]
"""The same with the batch position whose logits it gets."""


class Planner:
    """Fills steps.

    Args:
        stepper: takes them; belongs to the scheduler's thread, as this object does.
        options: sizes.
        sharing: knows who waits for cells that another sequence is about to have.
    """

    def __init__(self, stepper: Stepper, options: EngineOptions, sharing: Sharing) -> None:
        """Nothing has been measured."""
        self.portions = Portions(options.step_tokens)
        self.costs = StepCosts()
        self._stepper = stepper
        self._options = options
        self._sharing = sharing

    def sort(self, live: list[Group]) -> tuple[list[Place], list[Place]]:
        """Who takes part in a turn: those that answer, and those whose prompt is read."""
        answers: list[Place] = []
        prompts: list[Place] = []
        room = self._options.answer_capacity
        for group in live:
            if self._sharing.waits(group):
                continue
            for member in group.live if group.forked else [group.first]:
                brief = member.pending == 1 or (group.forked and member.pending <= room)
                if brief:
                    room -= member.pending
                (answers if brief else prompts).append((group, member))
        return answers, prompts

    def answers(self, places: list[Place], guess: bool) -> list[Output]:
        """Fill a step with the next tokens of answers and with guesses; who gets logits."""
        self._stepper.clear()
        drafts = [self._stepper.guesses(member) if guess else NONE for _, member in places]
        counts = self._worth(places, drafts)
        return [
            (group, member, self._stepper.add(member, member.pending, draft.tokens[:count]))
            for (group, member), draft, count in zip(places, drafts, counts, strict=True)
        ]

    def _worth(self, places: list[Place], drafts: list[Guesses]) -> list[int]:
        """How many guesses of each sequence are decoded."""
        if not any(draft.tokens for draft in drafts):
            return [0] * len(drafts)
        known = sum(member.pending for _, member in places)
        room = min(self._options.drafts, self._options.answer_capacity - known)
        return self.costs.worth(known, [draft.chances for draft in drafts], max(0, room))

    def prompts(self, places: list[Place], answers: int, steps: int) -> list[Output]:
        """Fill a step with pieces of prompts; who gets logits, in the order of the batch.

        Args:
            places: whose prompts.
            answers: sequences that answer meanwhile.
            steps: for prompts in this turn; together they take the time of one.
        """
        self._stepper.clear()
        size = max(1, self.portions.size(answers, len(places)) // steps)
        outputs: list[Output] = []
        pieces = divide([member.pending for _, member in places], size)
        for (group, member), count in zip(places, pieces, strict=True):
            if count:
                row = self._stepper.add(member, count)
                if member.pending == 0:
                    outputs.append((group, member, row))
        return outputs


def by_adapter(places: list[Place]) -> list[list[Place]]:
    """Those that can share a step: llama.cpp applies an adapter to a whole one.

    Each set has a step in each turn, so that none starves; the one that joined first goes first.
    """
    sets: dict[int, list[Place]] = {}
    for group, member in places:
        sets.setdefault(id(group.adapter), []).append((group, member))
    return list(sets.values())
