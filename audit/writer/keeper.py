"""The log's keeper: gathers waiting requests into batches and keeps the log in order over time.

While one batch is brought to the disk the next one gathers: the commit is as large as it needs to
be and nobody waits for a timer. The head file follows one batch behind: a batch is acknowledged
only when the head holds the batch before it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from audit.errors import (
    AuditError,
    LogUnavailableError,
    NotDurableError,
    OfficersFileError,
    ReadOnlyError,
    RecordRefusedError,
)
from audit.protocol import Receipt
from audit.writer.custody import Approved
from audit.writer.intake import Outcome
from audit.writer.journal import Journal
from audit.writer.request import AppendRequest
from audit.writer.standing import Committed

OK: Final = "ok"
NOT_DURABLE: Final = "not_durable"
READ_ONLY: Final = "read_only"

_log = logging.getLogger("audit-writer")
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How much and how often.

    Attributes:
        batch: records that one commit takes at most.
        tick: seconds between two looks at what is due; also between two repairs.
        heartbeat: seconds without a record after which the writer adds one.
        compare: seconds between two comparisons of database and head.
    """

    batch: int = 256
    tick: float = 1.0
    heartbeat: float = 300.0
    compare: float = 60.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: AppendRequest
    answer: asyncio.Future[Receipt]


class Keeper:
    """Owner of the journal: everything that touches the log goes through here, in order."""

    def __init__(self, journal: Journal, rhythm: Rhythm) -> None:
        """Take over a journal; `open` opens it.

        Args:
            journal: the log.
            rhythm: how much and how often.
        """
        self.health = NOT_DURABLE
        self.reason = "The log is opening."
        self.last_commit: float | None = None
        self._journal = journal
        self._rhythm = rhythm
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._busy = asyncio.Lock()
        self._stopping = False
        self._head_task: asyncio.Task[None] | None = None
        self._compared = time.monotonic()
        self._commits = ThreadPoolExecutor(1, "commit")
        self._heads = ThreadPoolExecutor(1, "head")

    async def open(self) -> None:
        """Open the log; one that can not be opened yet is tried again, one in doubt stays shut.

        Raises:
            OfficersFileError, KeyFileError, SecondWriterError: if starting again would not help.
        """
        try:
            await self._in_order(self._journal.open)
        except (NotDurableError, ReadOnlyError) as error:
            self._fail(error)
        else:
            self._recovered()

    async def append(self, request: AppendRequest) -> Receipt:
        """Wait until a record is durable.

        Raises:
            LogUnavailableError: if the log takes none.
            RecordRefusedError: if it does not take this one.
        """
        if self.health != OK or self._stopping:
            raise self._unavailable()
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(request, answer))
        self._wake.set()
        return await answer

    async def proof(self, index: int) -> str:
        """A proof for the newest checkpoint.

        Raises:
            LogUnavailableError: if the log is not open.
            RecordRefusedError: if there is no such record.
        """
        try:
            async with self._busy:
                return await self._in_order(self._journal.proof, index)
        except NotDurableError as error:
            raise self._unavailable() from error

    async def witness(self, note: str) -> None:
        """Take a witness's word into the log.

        Raises:
            LogUnavailableError: if the log takes none, or the word shows that it was rolled back.
            RecordRefusedError: if it is no word of a known witness.
        """
        async with self._busy:
            await self._head_written()
            if self.health != OK:
                raise self._unavailable()
            try:
                receipt = await self._in_order(self._journal.check_witness, note)
            except OfficersFileError as error:
                raise RecordRefusedError(str(error)) from error
            except (NotDurableError, ReadOnlyError) as error:
                self._fail(error)
                raise self._unavailable() from error

            async def work() -> None:
                self._committed(await self._in_order(self._journal.add_witness, receipt))

            await self._guarded(work)
            await self._head_written()
            if self.health != OK:
                raise self._unavailable()

    async def decide(self, approved: Approved) -> int:
        """Carry out what two officers approved; returns the index of its record.

        Raises:
            LogUnavailableError: if the log takes none.
            RecordRefusedError: if it must not be carried out.
        """
        done: list[int] = []
        refused: list[RecordRefusedError] = []

        async def work() -> None:
            try:
                committed, index = await self._in_order(self._journal.decide, approved)
            except RecordRefusedError as error:
                refused.append(error)
                return
            done.append(index)
            self._committed(committed)

        async with self._busy:
            await self._head_written()
            if self.health == OK:
                await self._guarded(work)
                await self._head_written()
            if refused:
                raise refused[0]
            if self.health != OK:
                raise self._unavailable()
        return done[0]

    async def commit_forever(self) -> None:
        """Bring batches to the disk until `stop`, and what waits then."""
        while not self._stopping or self._waiting:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                count = min(len(self._waiting), self._rhythm.batch)
                await self._commit([self._waiting.popleft() for _ in range(count)])

    async def tick_forever(self) -> None:
        """Heartbeats, comparisons, epochs and repairs, each when it is due."""
        while True:
            await asyncio.sleep(self._rhythm.tick)
            async with self._busy:
                await self._head_written()
                await self._guarded(self._due)

    def stop(self) -> None:
        """Take no more records; `commit_forever` ends once the waiting ones are answered."""
        self._stopping = True
        self._wake.set()

    async def close(self) -> None:
        """Close the epoch and the files."""
        async with self._busy:
            await self._head_written()
            await self._guarded(self._close)
        self._commits.shutdown()
        self._heads.shutdown()

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        async with self._busy:
            requests = [waiting.request for waiting in batch]
            done: list[Committed] = []

            async def work() -> None:
                done.append(await self._in_order(self._journal.append, requests))

            if self.health == OK:
                await self._guarded(work)
            await self._head_written()
            if self.health != OK or not done:
                _refuse(batch, self._unavailable())
                return
            self._committed(done[0])
        for waiting, outcome in zip(batch, done[0].outcomes, strict=True):
            _answer(waiting.answer, outcome)

    async def _due(self) -> None:
        """Do what the time asks for; the caller holds the log."""
        if self.health == READ_ONLY:
            return
        if self.health == NOT_DURABLE:
            await self._in_order(self._journal.open)
            self._recovered()
            return
        if self._journal.epoch_is_due():
            await self._next_epoch()
        if self._journal.prune_is_due():
            await self._head_written()
            pruned = await self._in_order(self._journal.prune)
            if pruned.notes:
                self._committed(pruned)
        if self._journal.idle_seconds() >= self._rhythm.heartbeat:
            self._committed(await self._in_order(self._journal.heartbeat))
        if time.monotonic() - self._compared >= self._rhythm.compare:
            await self._head_written()
            await self._in_order(self._journal.compare_with_head)
            self._compared = time.monotonic()

    async def _next_epoch(self) -> None:
        try:
            self._committed(await self._in_order(self._journal.next_epoch))
        except (NotDurableError, ReadOnlyError):
            raise
        except (AuditError, OSError) as error:
            _log.error("The next epoch can not open yet: %s", error)

    async def _close(self) -> None:
        """Close a log that is in order; one in doubt stays as it was found."""
        sound = self.health == OK
        await self._in_order(self._journal.close if sound else self._journal.release)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run something on the log; if it fails the log takes no records until it is repaired."""
        try:
            await work()
        except AuditError as error:
            self._fail(error)
        except Exception as error:  # the edge of the process: an unknown fault must fail closed
            _log.exception("The log failed")
            self._fail(NotDurableError(f"The writer failed: {type(error).__name__}."))
            await self._in_order(self._journal.abandon)

    async def _in_order(
        self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Run on the one thread that owns the journal."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._commits, lambda: function(*args, **kwargs))

    def _committed(self, done: Committed) -> None:
        """Let the head follow, beside whatever comes next."""
        self.last_commit = time.time()
        if done.notes:
            self._head_task = asyncio.create_task(self._write_head(done.notes))

    async def _write_head(self, notes: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._heads, self._journal.write_head, notes)
        except AuditError as error:
            self._fail(error)
        except OSError as error:
            self._fail(NotDurableError(f"The head file failed: {error}. Check its disk."))

    async def _head_written(self) -> None:
        if self._head_task is not None:
            await self._head_task
            self._head_task = None

    def _fail(self, error: AuditError) -> None:
        health = READ_ONLY if isinstance(error, ReadOnlyError) else NOT_DURABLE
        if self.health == READ_ONLY:
            return
        if (self.health, self.reason) != (health, str(error)):
            _log.error("%s: %s", health, error)
        self.health, self.reason = health, str(error)

    def _recovered(self) -> None:
        self.health, self.reason = OK, ""
        self.last_commit = time.time()
        standing = self._journal.standing
        _log.info("ready: %d records, epoch %s, %s", standing.size, standing.epoch, standing.vkey)

    def _unavailable(self) -> LogUnavailableError:
        if self.health == OK:
            return LogUnavailableError("The audit writer is stopping. Try again.", NOT_DURABLE)
        return LogUnavailableError(self.reason, self.health)


def _answer(answer: asyncio.Future[Receipt], outcome: Outcome) -> None:
    if answer.done():  # its client went away
        return
    if isinstance(outcome, Receipt):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome)


def _refuse(batch: Sequence[_Waiting], error: LogUnavailableError) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
