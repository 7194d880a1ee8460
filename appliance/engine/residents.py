"""Which models are in memory: who may load, and who is stopped so that another can.

A model that is asked for and does not fit beside the others gets its room from idle ones, the one
that was used longest ago first. Where too few are idle, the one that has been in memory longest is
closed: it ends what it answers and takes nothing new, once it has had its turn. None is ever
stopped while it answers. Room is made for one model at a time, in the order in which they came.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from appliance.catalogue.errors import ModelMemoryError
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.budget import MemoryBudget
from appliance.engine.flights import Flights
from appliance.engine.options import EngineOptions
from appliance.engine.signals import Signal

_SHORTEST_TURN = 5.0  # seconds; and no shorter than the load took, so that half the time is work

_log = logging.getLogger(__name__)


class CrowdedError(Exception):
    """A model would fit, but only if others were stopped that are not stopped for it now."""


class Resident(Protocol):
    """What has to be known of a model to decide whether it stays."""

    name: str
    socket: Path
    closed: bool
    loaded_at: float
    load_seconds: float

    @property
    def is_wanted(self) -> bool:
        """Whether a request waits for it, or a switch."""

    @property
    def is_held(self) -> bool:
        """Whether it must not be stopped, and nothing be stopped for it that is held too."""

    @property
    def is_ready(self) -> bool:
        """Whether its runner is up and it was not told to end."""

    async def park(self) -> None:
        """End its runner until somebody asks for it again."""


class Residents:
    """The models that are in memory, or about to be.

    Args:
        budget: of memory, for all runners together.
        flights: the requests under way.
        signal: told whenever something changes that a decision here depends on.
        is_pinned: whether a model of this name is never stopped to make room.
    """

    def __init__(
        self,
        budget: MemoryBudget,
        flights: Flights,
        signal: Signal,
        is_pinned: Callable[[str], bool],
    ) -> None:
        """None yet."""
        self._budget = budget
        self._flights = flights
        self._signal = signal
        self._is_pinned = is_pinned
        self._inside: dict[Path, Resident] = {}
        self._expected: list[Resident] = []
        self._one_at_a_time = asyncio.Lock()

    @property
    def signal(self) -> Signal:
        """Told whenever a model comes, goes, or changes its state."""
        return self._signal

    def planned(self, one: Resident) -> int:
        """Bytes that a model holds by its plan; 0 where it is not in memory."""
        return self._budget.held_by(one.socket)

    def could_hold(self, plan: MemoryPlan) -> bool:
        """Whether a model of this plan would fit if all others were stopped."""
        return self._budget.has_room(plan, self._inside)

    def expect(self, one: Resident) -> None:
        """Let a model have its room before those that are expected later, if nobody waits."""
        self._expected.append(one)

    def decided(self, one: Resident) -> None:
        """Whether an expected model gets room is known; harmless if it was not expected."""
        if one in self._expected:
            self._expected.remove(one)
            self._signal.tell()

    async def admit(self, one: Resident, plan: MemoryPlan, options: EngineOptions) -> None:
        """Hold memory for a model that is about to be loaded; makes room if it is wanted.

        Args:
            one: the model.
            plan: what it takes.
            options: the sizes that it was planned with, for the message.

        Raises:
            ModelMemoryError: it does not fit, whoever were stopped.
            CrowdedError: it fits only if others were stopped, and nobody waits for it any more, or
                they are never stopped for it.
        """
        while not one.is_wanted and self._expected and self._expected[0] is not one:
            await self._signal.next()
        async with self._one_at_a_time:
            await self._make_room(one, plan, options)
            self._budget.hold(one.socket, plan)
            self._inside[one.socket] = one
        self.decided(one)

    def loaded(self, one: Resident) -> None:
        """The model's runner is up."""
        self._budget.loaded(one.socket)
        self._signal.tell()

    def left(self, one: Resident) -> None:
        """The model's runner has ended, or was never started."""
        self._inside.pop(one.socket, None)
        self._budget.release(one.socket)
        self._signal.tell()

    async def _make_room(self, one: Resident, plan: MemoryPlan, options: EngineOptions) -> None:
        closed: list[Resident] = []
        try:
            while not self._budget.has_room(plan):
                if not self._budget.is_loading():
                    self._check(one, plan, options)
                    idle = self._idle(one)
                    if self._fits_without(plan, idle):
                        await self._park(idle[0], one)
                        continue
                    closed += self._close(one, plan)
                await self._signal.next(self._until_next_turn(one))
        finally:
            for each in closed:
                each.closed = False
            self._signal.tell()

    def _check(self, one: Resident, plan: MemoryPlan, options: EngineOptions) -> None:
        """Return only if waiting for room makes sense."""
        if not self.could_hold(plan):
            raise ModelMemoryError(self._budget.refusal(one.name, plan, options))
        if not one.is_wanted:
            raise CrowdedError(self._budget.crowd(one.name, plan, ()))
        staying = [each for each in self._others(one) if self._stays(each, one)]
        leaving = [each for each in self._others(one) if each not in staying]
        if not self._fits_without(plan, leaving):
            names = {each.name for each in staying}
            raise CrowdedError(self._budget.crowd(one.name, plan, names))

    def _stays(self, other: Resident, one: Resident) -> bool:
        """Whether `other` is not stopped for `one`, however long that waits."""
        return self._is_pinned(other.name) or (one.is_held and other.is_held)

    def _others(self, one: Resident) -> list[Resident]:
        return [each for each in self._inside.values() if each is not one]

    def _stoppable(self, one: Resident) -> list[Resident]:
        return [
            each
            for each in self._others(one)
            if each.is_ready and not each.is_held and not self._is_pinned(each.name)
        ]

    def _idle(self, one: Resident) -> list[Resident]:
        """Those that answer nothing and owe nobody an answer, the one used longest ago first."""
        idle = [each for each in self._stoppable(one) if self._is_idle(each)]
        return sorted(idle, key=lambda each: max(each.loaded_at, self._flights.used(each.socket)))

    def _is_idle(self, one: Resident) -> bool:
        # Who waits for a closed model waits until it is loaded again.
        return not self._flights.is_busy(one.socket) and (one.closed or not one.is_wanted)

    def _close(self, one: Resident, plan: MemoryPlan) -> list[Resident]:
        """Close as many as it takes, of those that have had their turn; returns the new ones."""
        ending = [each for each in self._stoppable(one) if each.closed or self._is_idle(each)]
        closed: list[Resident] = []
        for each in sorted(self._stoppable(one), key=lambda each: each.loaded_at):
            if self._fits_without(plan, ending):
                break
            if each not in ending and _turn_ends(each) <= time.monotonic():
                each.closed = True
                _log.info("model %s ends its requests, so that %s has a turn", each.name, one.name)
                closed.append(each)
                ending.append(each)
        return closed

    def _until_next_turn(self, one: Resident) -> float | None:
        """Seconds until another model has had its turn; None where none is having one."""
        left = [_turn_ends(each) - time.monotonic() for each in self._stoppable(one)]
        return min((each for each in left if each > 0), default=None)

    def _fits_without(self, plan: MemoryPlan, gone: Collection[Resident]) -> bool:
        return self._budget.has_room(plan, [each.socket for each in gone])

    async def _park(self, idle: Resident, one: Resident) -> None:
        _log.info("model %s is stopped, so that %s has room", idle.name, one.name)
        await idle.park()


def _turn_ends(one: Resident) -> float:
    return one.loaded_at + max(_SHORTEST_TURN, one.load_seconds)
