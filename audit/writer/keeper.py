"""The log's keeper: gathers waiting requests into batches and keeps the log in order over time.

While one batch is brought to the disk the next one gathers in the sockets. Who was just answered
often comes back at once, so the next commit waits for as many as the last one had, but for no more
than half the time that the last one took. The head file follows one batch behind: a batch is
acknowledged only when the head holds the batch before it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, ParamSpec, TypeVar

from audit.errors import (
    AuditError,
    LogUnavailableError,
    NotDurableError,
    OfficersFileError,
    ReadOnlyError,
    RecordRefusedError,
)
from audit.leaf import LeafType
from audit.payloads import WitnessReceipt
from audit.writer.custody import Approved
from audit.writer.faults import Faults
from audit.writer.following import HeadFollower
from audit.writer.intake import Outcome
from audit.writer.journal import Journal
from audit.writer.request import AppendRequest
from audit.writer.room import Level, Room, RoomState
from audit.writer.standing import Committed

OK: Final = "ok"
NOT_DURABLE: Final = "not_durable"
READ_ONLY: Final = "read_only"
NO_ROOM: Final = "no_room"

Answer = Outcome | LogUnavailableError
Acknowledge = Callable[[Answer], None]
"""Takes what became of a record; called once, from the event loop."""

_log = logging.getLogger("audit-writer")
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How much and how often.

    Attributes:
        batch: records that one commit takes at most.
        tick: seconds between two looks at what is due; also between two repairs.
        patience: seconds that a commit waits at most for those who were just answered.
        heartbeat: seconds without a record after which the writer adds one.
        compare: seconds between two comparisons of database and head.
    """

    batch: int = 256
    tick: float = 1.0
    patience: float = 0.005
    heartbeat: float = 300.0
    compare: float = 60.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: AppendRequest
    acknowledge: Acknowledge


class Keeper:
    """Owner of the journal: everything that touches the log goes through here, in order."""

    def __init__(self, journal: Journal, rhythm: Rhythm, room: Room, faults: Faults) -> None:
        """Take over a journal; `open` opens it.

        Args:
            journal: the log.
            rhythm: how much and how often.
            room: watches its disks.
            faults: remembers what went wrong until it is recorded.
        """
        self.health = NOT_DURABLE
        self.reason = "The log is opening."
        self.last_commit: float | None = None
        self.room = RoomState(Level.ROOMY, 0.0, "")
        self._journal = journal
        self._rhythm = rhythm
        self._room = room
        self._faults = faults
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._enough = 1
        self._took = 0.0  # seconds, the last batch
        self._busy = asyncio.Lock()
        self._stopping = False
        self._compared = time.monotonic()
        self._commits = ThreadPoolExecutor(1, "commit")
        self._follower = HeadFollower(journal.write_head)

    async def open(self) -> None:
        """Open the log; one that can not be opened yet is tried again, one in doubt stays shut.

        Raises:
            OfficersFileError, KeyFileError, SecondWriterError: if starting again would not help.
        """
        try:
            await self._in_order(self._open)
        except (NotDurableError, ReadOnlyError) as error:
            self._fail(error)
        else:
            self._recovered()
            await self._guarded(self._look_around)

    def append(self, request: AppendRequest, acknowledge: Acknowledge) -> None:
        """Take a record; it is durable when its acknowledgement comes.

        Args:
            request: the record.
            acknowledge: gets its receipt, or why there is none.

        Raises:
            LogUnavailableError: if the log takes none.
        """
        if self._stopping or not self._takes(request.kind):
            self._faults.refuse()
            raise self._unavailable()
        self._waiting.append(_Waiting(request, acknowledge))
        if len(self._waiting) >= self._enough:
            self._wake.set()

    async def ask(self, question: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Ask the journal something that changes nothing, as `Journal.proof`.

        Raises:
            LogUnavailableError: if the log is not open.
            RecordRefusedError: if the journal refuses.
        """
        try:
            async with self._busy:
                return await self._in_order(question, *args, **kwargs)
        except NotDurableError as error:
            raise self._unavailable() from error

    async def witness(self, note: str) -> None:
        """Take a witness's word into the log.

        Raises:
            LogUnavailableError: if the log takes none, or the word shows that it was rolled back.
            RecordRefusedError: if it is no word of a known witness.
        """
        async with self._busy:
            await self._guarded(lambda: self._in_order(self._follower.wait))
            if not self._takes():
                raise self._unavailable()
            try:
                receipt = await self._in_order(self._journal.check_witness, note)
            except OfficersFileError as error:
                raise RecordRefusedError(str(error)) from error
            except (NotDurableError, ReadOnlyError) as error:
                self._fail(error)
                raise self._unavailable() from error
            await self._guarded(lambda: self._in_order(self._add_witness, receipt))
            if not self._takes():
                raise self._unavailable()

    async def decide(self, approved: Approved) -> int:
        """Carry out what two officers approved; returns the index of its record.

        Raises:
            LogUnavailableError: if the log takes none.
            RecordRefusedError: if it must not be carried out.
        """
        async with self._busy:
            if not self._takes():
                raise self._unavailable()
            done = await self._guarded(lambda: self._in_order(self._decide, approved))
            if done is None or not self._takes():
                raise self._unavailable()
        if isinstance(done, RecordRefusedError):
            raise done
        return done

    async def commit_forever(self) -> None:
        """Bring batches to the disk until `stop`, and what waits then."""
        while not self._stopping or self._waiting:
            await self._gather()
            while self._waiting:
                count = min(len(self._waiting), self._rhythm.batch)
                await self._commit([self._waiting.popleft() for _ in range(count)])
                self._enough = count

    async def _gather(self) -> None:
        """Wait for records: a moment for as many as the last time, then for any."""
        if self._enough > 1:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self._took / 2, self._rhythm.patience)):
                    await self._wake.wait()
        self._enough = 1
        if not self._waiting:
            await self._wake.wait()
        self._wake.clear()

    async def tick_forever(self) -> None:
        """Heartbeats, comparisons, epochs and repairs, each when it is due."""
        while True:
            await asyncio.sleep(self._rhythm.tick)
            async with self._busy:
                await self._guarded(self._due)

    def stop(self) -> None:
        """Take no more records; `commit_forever` ends once the waiting ones are answered."""
        self._stopping = True
        self._wake.set()

    async def close(self) -> None:
        """Close the epoch and the files."""
        async with self._busy:
            await self._guarded(lambda: self._in_order(self._follower.wait))
            await self._guarded(self._close)
        self._commits.shutdown()
        self._follower.close()

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Seal and commit on this thread: what comes meanwhile waits in the sockets for the next.

        Another thread would let requests be read beside the disk's work, but two threads that
        share one interpreter cost more than the disk takes.
        """
        started = time.monotonic()
        done: Committed | None = None
        async with self._busy:
            if self._takes():
                done = await self._guarded(partial(self._append, batch))
        self._took = time.monotonic() - started
        if done is None:
            self._refuse(batch)
            return
        for waiting, outcome in zip(batch, done.outcomes, strict=True):
            waiting.acknowledge(outcome)

    async def _append(self, batch: Sequence[_Waiting]) -> Committed:
        return self._add(self._journal.append, [waiting.request for waiting in batch])

    async def _due(self) -> None:
        """Do what the time asks for; the caller holds the log."""
        await self._in_order(self._follower.wait)
        await self._in_order(self._faults.save)
        if self.health == READ_ONLY:
            return
        if self.health == NOT_DURABLE:
            await self._in_order(self._open)
            self._recovered()
        await self._look_around()
        if self._journal.epoch_is_due():
            await self._next_epoch()
        if self._journal.prune_is_due():
            await self._in_order(self._add, self._journal.prune)
        if self._journal.idle_seconds() >= self._rhythm.heartbeat:
            await self._in_order(self._add, self._journal.heartbeat)
        if time.monotonic() - self._compared >= self._rhythm.compare:
            await self._in_order(self._compare)
            self._compared = time.monotonic()

    def _open(self) -> None:
        """Open the log; on a full disk with the room that was kept for that."""
        if self._room.look().level is Level.STOP:
            self._room.free_ballast()
        self._journal.open()

    async def _look_around(self) -> None:
        """Record the fault that is over, if one was, and see how much room there is."""
        self.room = await self._in_order(self._room.look)
        if self.room.level is Level.STOP:
            await self._in_order(self._room.free_ballast)
            await self._stop_answering()
        elif await self._in_order(self._room.take_ballast) or self.health == OK:
            self.health, self.reason = OK, ""
            await self._record_fault()

    async def _record_fault(self) -> None:
        payload = self._faults.payload(time.time_ns())
        if payload is not None:
            await self._in_order(self._add, self._journal.add_fault, payload)
            self._faults.forget()

    async def _stop_answering(self) -> None:
        """Take no more prompts, and record that, in the room that the ballast has left."""
        if self.health == OK:
            await self._record_fault()
            _log.error("%s: %s", NO_ROOM, self.room.words)
            self._faults.begin(NO_ROOM, self.room.words, time.time_ns())
            payload = {"fault": NO_ROOM, "reason": self.room.words}
            await self._in_order(self._add, self._journal.add_fault, payload)
        self.health, self.reason = NO_ROOM, self.room.words

    async def _next_epoch(self) -> None:
        try:
            await self._in_order(self._add, self._journal.next_epoch)
        except (NotDurableError, ReadOnlyError):
            raise
        except (AuditError, OSError) as error:
            _log.error("The next epoch can not open yet: %s", error)

    async def _close(self) -> None:
        """Close a log that is in order; one in doubt stays as it was found."""
        await self._in_order(self._faults.save)
        sound = self._takes()
        await self._in_order(self._journal.close if sound else self._journal.release)

    async def _guarded(self, work: Callable[[], Awaitable[_R]]) -> _R | None:
        """Run something on the log; if it fails the log takes no records until it is repaired."""
        try:
            return await work()
        except AuditError as error:
            self._fail(error)
        except Exception as error:  # the edge of the process: an unknown fault must fail closed
            _log.exception("The log failed")
            self._fail(NotDurableError(f"The writer failed: {type(error).__name__}."))
            await self._in_order(self._journal.abandon)
        return None

    async def _in_order(
        self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Run on the one thread that owns the journal."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._commits, lambda: function(*args, **kwargs))

    def _add(self, add: Callable[_P, Committed], *args: _P.args, **kwargs: _P.kwargs) -> Committed:
        """Add records; returns when they are durable and the head holds the batch before."""
        done = add(*args, **kwargs)
        self._follower.wait()
        self._follower.follow(done.notes)
        self.last_commit = time.time()
        return done

    def _add_witness(self, receipt: WitnessReceipt) -> None:
        self._add(self._journal.add_witness, receipt)
        self._follower.wait()

    def _decide(self, approved: Approved) -> int | RecordRefusedError:
        """The index of its record, or why there is none; the log is as sound as before then."""
        try:
            self._add(self._journal.decide, approved)
        except RecordRefusedError as error:
            return error
        self._follower.wait()
        return self._journal.standing.size - 1

    def _compare(self) -> None:
        self._follower.wait()
        self._journal.compare_with_head()

    def _fail(self, error: AuditError) -> None:
        health = READ_ONLY if isinstance(error, ReadOnlyError) else NOT_DURABLE
        if self.health == READ_ONLY:
            return
        if (self.health, self.reason) != (health, str(error)):
            _log.error("%s: %s", health, error)
        self.health, self.reason = health, str(error)
        self._faults.begin(health, str(error), time.time_ns())

    def _recovered(self) -> None:
        self.health, self.reason = OK, ""
        self.last_commit = time.time()
        standing = self._journal.standing
        _log.info("ready: %d records, epoch %s, %s", standing.size, standing.epoch, standing.vkey)

    def _takes(self, kind: LeafType | None = None) -> bool:
        """Whether records are taken; a log that runs out of room takes all but prompts."""
        return self.health == OK or (self.health == NO_ROOM and kind is not LeafType.PROMPT)

    def _refuse(self, batch: Sequence[_Waiting]) -> None:
        for waiting in batch:
            self._faults.refuse()
            waiting.acknowledge(self._unavailable())

    def _unavailable(self) -> LogUnavailableError:
        if self.health == OK:
            return LogUnavailableError("The audit writer is stopping. Try again.", NOT_DURABLE)
        return LogUnavailableError(self.reason, self.health)
