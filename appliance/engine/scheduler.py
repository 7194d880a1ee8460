"""Continuous batching: one thread owns the llama.cpp context and decodes all live sequences.

Each turn is a step that carries the next tokens of all answers, then one that carries pieces of
prompts that are still to be decoded. Sequences join and leave between any two turns.
A sequence holds KV cells only for the tokens that it has: when the cache is full, the one that
joined last gives its cells up, waits at the head of the queue and is decoded again later.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from appliance.engine.errands import Errand
from appliance.engine.errors import QueueFullError
from appliance.engine.llama import Adapter
from appliance.engine.options import EngineOptions
from appliance.engine.outbox import Event, Outbox
from appliance.engine.planning import Output, Planner, by_adapter
from appliance.engine.sequence import Finish, Group, Sequence, ending
from appliance.engine.sharing import Sharing
from appliance.engine.stepper import Stepper
from appliance.engine.tally import Tally

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_HEADROOM = 64  # tokens of answer for which there must be cells before a request leaves the queue
_SMOOTHING = 0.2  # weight of the latest request in the mean duration


class Scheduler:
    """Runs sequences to their ends.

    Args:
        stepper: decodes and samples; only this object's thread touches it.
        options: sizes.
        deliver: takes events in order; called after a turn, but not after each.
        on_fault: called with the error when decoding can not go on; must end the process.
    """

    def __init__(
        self,
        stepper: Stepper,
        options: EngineOptions,
        deliver: Callable[[list[Event]], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        """Start nothing yet."""
        self.tally = Tally()
        self._stepper = stepper
        self._options = options
        self._outbox = Outbox(deliver)
        self._on_fault = on_fault
        self._wake = threading.Condition()
        self._waiting: deque[Group] = deque()
        self._live: list[Group] = []
        self._free_slots = list(range(options.sequences))
        self._sharing = Sharing(stepper, options.sequences, options.prefixes)
        self._planner = Planner(stepper, options, self._sharing)
        self._cramped = False  # the last step found no room; the next one guesses nothing
        self._cancelled: list[Sequence] = []
        self._errands: deque[Errand[Any]] = deque()
        self._closing = False
        self._mean_seconds = 1.0
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the current step; sequences that still live end as cancelled."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    @property
    def in_use(self) -> int:
        """Sequences that hold a slot."""
        return self._options.sequences - len(self._free_slots)

    @property
    def queued(self) -> int:
        """Groups that wait for slots or cells."""
        return len(self._waiting)

    def submit(self, groups: list[Group]) -> None:
        """Queue the groups of one request, all or none.

        Raises:
            QueueFullError: too many wait already; names a time after which to try again.
        """
        with self._wake:
            if len(self._waiting) + len(groups) > self._options.queue + len(self._free_slots):
                raise QueueFullError(self._options.queue, self._patience())
            self._waiting.extend(groups)
            self._wake.notify()

    def cancel(self, sequences: Iterable[Sequence]) -> None:
        """End sequences before the next step; harmless for those that have ended."""
        with self._wake:
            self._cancelled.extend(sequences)
            self._wake.notify()

    def between_steps(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Have the scheduler's thread make a call that touches model or context."""
        errand = Errand(work)
        with self._wake:
            self._errands.append(errand)
            self._wake.notify()
        return errand.result

    def _patience(self) -> int:
        """Whole seconds until a queued request is likely to have been served."""
        ahead = (len(self._waiting) + 1) / self._options.sequences
        return min(60, max(1, math.ceil(ahead * self._mean_seconds)))

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                began = time.perf_counter()
                self._turn()
                self.tally.busy_seconds += time.perf_counter() - began
        except Exception as error:  # the edge of the thread: nothing may be left half decoded
            _log.exception("the scheduler stopped")
            self._on_fault(error)

    def _wait_for_work(self) -> bool:
        """Block, without using the CPU, until there is something to do; False to stop."""
        with self._wake:
            while not (self._has_work() or self._closing):
                self._wake.wait()
            if self._closing:
                events = [event for group in self._all() for event in self._end_group(group)]
                self._outbox.put(events)
                for errand in self._errands:
                    errand.result.cancel()
            return not self._closing

    def _has_work(self) -> bool:
        return bool(self._waiting or self._live or self._cancelled or self._errands)

    def _turn(self) -> None:
        while self._errands:
            self._errands.popleft().run()
        events = self._drop_cancelled() if self._cancelled else []
        if self._waiting:
            events += self._admit()
        if self._live:
            events += self._step()
        if events:
            self._outbox.put(events)

    def _all(self) -> list[Group]:
        return [*self._live, *self._waiting]

    # --- joining -----------------------------------------------------------------------------

    def _admit(self) -> list[Event]:
        """Give slots to waiting groups, in order, while there are slots and cells."""
        events: list[Event] = []
        with self._wake:
            while self._waiting and self._fits(self._waiting[0]):
                group = self._waiting.popleft()
                for member in group.live:
                    member.slot = self._free_slots.pop()
                self._sharing.join(group, self._live)
                self._live.append(group)
                events += self._announce(group)
            self._sweep()
        return events

    def _fits(self, group: Group) -> bool:
        live = group.live
        if len(live) > len(self._free_slots):
            return False
        used = sum(other.cells() for other in self._live)
        answers = sum(min(_HEADROOM, member.room) for member in live)
        needed = used + group.cells() + answers
        while needed + self._sharing.cells > self._stepper.kv_tokens:
            if not self._sharing.give_up_one():
                break
        return not self._live or needed <= self._stepper.kv_tokens

    def _announce(self, group: Group) -> list[Event]:
        if group.announced:
            return []
        group.announced = True
        self.tally.requests += 1
        self.tally.prompt_tokens += group.read_tokens
        events: list[Event] = []
        for member in group.live:
            self._stepper.prepare(member, group.prompt_length)
            events.append((member.sink, [], None, None))
            events += self._opening(member, group.prompt_length)
        return events

    def _opening(self, member: Sequence, prompt_length: int) -> list[Event]:
        """What a grammar forces before the model says anything; sometimes the whole answer."""
        forced = member.tokens[prompt_length : member.limit]
        finish = ending(member)
        self.tally.answer_tokens += len(forced)
        self.tally.forced_tokens += len(forced)
        if finish is not None:
            self._finish(member)
        return [(member.sink, forced, None, finish)] if forced or finish is not None else []

    # --- one step ----------------------------------------------------------------------------

    def _step(self) -> list[Event]:
        """Answers take their next tokens, then prompts are read, in a step of their own.

        Apart, because attention over the shared cache skips other sequences' cells only where a
        step holds few tokens, or long runs of one sequence.
        """
        answers, prompts = self._planner.sort(self._live)
        self.tally.shared_tokens = self._sharing.saved_tokens
        self.tally.prefix_hits = self._sharing.hits
        events: list[Event] = []
        began = time.perf_counter()
        for places in by_adapter(answers):
            started = time.perf_counter()
            outputs = self._planner.answers(places, guess=not self._cramped)
            tokens = self._stepper.planned
            more, goes_on = self._decode(outputs)
            events += more
            if not goes_on:
                return events
            self._planner.costs.took(tokens, time.perf_counter() - started)
        if answers:
            self._planner.portions.answered(time.perf_counter() - began)
        sets = by_adapter(prompts)
        for places in sets:
            outputs = self._planner.prompts(places, len(answers), len(sets))
            tokens, began = self._stepper.planned, time.perf_counter()
            more, goes_on = self._decode(outputs)
            events += more
            if not goes_on:
                return events
            self._planner.portions.read(tokens, time.perf_counter() - began)
        return events

    def _decode(self, outputs: list[Output]) -> tuple[list[Event], bool]:
        """Run what is planned; what came of it, and whether all others still are as they were."""
        began = time.perf_counter()
        decoded = self._stepper.decode()
        self.tally.decode_seconds += time.perf_counter() - began
        if not decoded:
            return self._make_room(), False
        self._cramped = False
        self.tally.steps += 1
        spoilt = self._stepper.spoilt_by
        if spoilt is not None:
            return self._clean_up(spoilt), False
        events: list[Event] = []
        for group, member, row in outputs:
            for sequence in self._fork(group, member):
                events += self._extend(sequence, row)
        if any(event[3] is not None for event in events):
            self._sweep()
        return events, True

    def _fork(self, group: Group, member: Sequence) -> list[Sequence]:
        """Who samples from a member's logits: all of the group at the end of the prompt."""
        if group.forked:
            return [member]
        group.forked = True
        for other in group.live:
            other.shared = member.decoded if len(group.members) > 1 else 0
            if other is not member:
                self._stepper.copy(member, other)
        return group.live

    def _extend(self, sequence: Sequence, row: int) -> list[Event]:
        """Sample the next token of a sequence, and take what its grammar forces after it."""
        drawn = self._stepper.sample(sequence, row)
        self.tally.answer_tokens += len(drawn.tokens)
        self.tally.forced_tokens += drawn.forced
        self.tally.drafted_tokens += drawn.drafted
        self.tally.accepted_tokens += drawn.accepted
        if drawn.finish is not None:
            self._finish(sequence)
        return [(sequence.sink, drawn.tokens, drawn.logprobs, drawn.finish)]

    # --- leaving -----------------------------------------------------------------------------

    def _finish(self, sequence: Sequence) -> None:
        sequence.finished = True
        self._sharing.keep(sequence)
        self._release(sequence)
        self._stepper.retire(sequence)

    def _release(self, sequence: Sequence) -> None:
        if sequence.slot >= 0:
            self._stepper.forget(sequence)
            self._free_slots.append(sequence.slot)
            sequence.slot = -1

    def _sweep(self) -> None:
        """Drop groups whose members have all ended."""
        now = time.monotonic()
        for group in self._live:
            if not group.live:
                self._mean_seconds += _SMOOTHING * (now - group.since - self._mean_seconds)
        self._live = [group for group in self._live if group.live]
        if not self._live and not self._sharing.cells:
            # A request that runs alone gets the same cells, and so the same last bits.
            self._stepper.reset()

    def _drop_cancelled(self) -> list[Event]:
        with self._wake:
            gone, self._cancelled = self._cancelled, []
            events: list[Event] = []
            for sequence in gone:
                if not sequence.finished:
                    events.append((sequence.sink, [], None, Finish.CANCELLED))
                    self._hand_over(sequence)
                    self._finish(sequence)
            self._waiting = deque(group for group in self._waiting if group.live)
            self._sweep()
        return events

    def _hand_over(self, leaving: Sequence) -> None:
        """Let the next member carry the prompt if the one that does is about to leave."""
        for group in self._live:
            if not group.forked and group.live[1:] and group.first is leaving:
                self._stepper.copy(leaving, group.live[1])

    def _end_group(self, group: Group, why: Finish = Finish.CANCELLED) -> list[Event]:
        events: list[Event] = []
        for member in group.live:
            events.append((member.sink, [], None, why))
            self._finish(member)
        return events

    def _clean_up(self, adapter: Adapter) -> list[Event]:
        """An adapter made numbers that are none: end what it answers, and compute the rest anew.

        They lie in cells that attention multiplies by zero for everybody else, and zero times
        such a number is none either.
        """
        adapter.is_spoilt = True
        with self._wake:
            spoilt = [group for group in self._all() if group.adapter is adapter]
            events = [each for group in spoilt for each in self._end_group(group, Finish.FAILED)]
            self._waiting = deque(group for group in self._waiting if group.live)
        self._sweep()
        while self._sharing.give_up_one():
            pass
        while self._live:
            self._set_aside(self._live.pop())
        self._stepper.wipe()
        return events

    def _make_room(self) -> list[Event]:
        """The KV cache is full: guesses go first, then kept beginnings, then the latest group."""
        if not self._cramped:
            self._cramped = True
            return []
        return [] if self._sharing.give_up_one() else self._preempt()

    def _preempt(self) -> list[Event]:
        """The group that joined last gives up its cells and waits.

        If it is alone, or the cache should have had room, waiting would not help; it fails.
        """
        used = sum(group.cells() for group in self._live)
        group = self._live.pop()
        members = group.live
        alone = not self._live and len(members) == 1
        if alone or used <= self._stepper.kv_tokens:
            for member in members:
                self._finish(member)
            return [(member.sink, [], None, Finish.FAILED) for member in members]
        self._set_aside(group)
        return []

    def _set_aside(self, group: Group) -> None:
        """Let a group wait at the head of the queue; what it has decoded is decoded again."""
        self.tally.preemptions += 1
        members = group.live
        for member in members:
            self._release(member)
            member.decoded = member.shared = 0
        group.leader = None
        again = [group]
        if group.forked:
            again = [Group([m], group.prompt_length, group.since, announced=True) for m in members]
        with self._wake:
            self._waiting.extendleft(reversed(again))
