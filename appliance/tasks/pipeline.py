"""The only way from a request to an answer: begin record, engine, checks, end record.

Rules, in this order:

1. The prompt's record is durable before the engine hears of the request.
2. Every request that has a begin record gets an end record, whatever happens to it: an answer, an
   engine error, a hang-up, an unknown model. The end record's `outcome` says which.
3. The end record is durable before the answer counts as finished. Where the log does not take it
   the caller learns of a failure, and never of `Finished`.
4. In the grade `strict` each piece of the answer has a record that is durable before it is yielded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable

from appliance.engine.client import AnswerStream, EngineClient
from appliance.engine.errors import CANCELLED, EngineError
from appliance.engine.identity import AnswerIdentity
from appliance.tasks import metrics
from appliance.tasks.checks import Check
from appliance.tasks.found import Found
from appliance.tasks.gathering import Gathering
from appliance.tasks.records import begin_content, begin_meta, end_meta
from appliance.tasks.strict import Grade, release_recorded
from appliance.tasks.work import Began, Delta, Event, Failed, Finished, Kind, Work
from audit.client import AuditClient, Receipt, RecordType
from audit.errors import AuditError, LogUnavailableError

_logger = logging.getLogger(__name__)
_LOG_RETRY_SECONDS = 5
_FULL = (
    "The disk of the audit log is nearly full, so no more requests are taken. "
    "Tell an administrator: cloister doctor says what to clear."
)
_CANCELLED = "cancelled"  # outcome, and finish reason of a text


class Pipeline:
    """Runs requests; one is enough for all threads of a process."""

    def __init__(self, engine: EngineClient, log: AuditClient, grade: Grade = "default") -> None:
        """Ask `engine`, record in `log`, and show nothing sooner than `grade` allows."""
        self._engine = engine
        self._log = log
        self._grade = grade

    def run(self, work: Work) -> Generator[Event]:
        """Run one request.

        Yields `Began`, then `Delta`s as the answer comes, then `Finished`; or `Failed` at any
        point, which is the last event. Nothing is raised for what can go wrong with engine or log.

        Closing the generator early stops the engine and records the answer so far as cancelled.
        """
        try:
            self._begin(work)
        except AuditError as error:
            metrics.UNRECORDED.labels("begin").inc()
            yield _log_failed(error)
            return
        yield from _Run(self._engine, self._log, work, self._grade).events()

    def cancel(self, record_id: str) -> bool:
        """Stop a request that runs; its stream then finishes with reason `cancelled`.

        Args:
            record_id: Id of the request's record. Whether the caller may stop it is for the
                caller to check.

        Returns:
            False where no such request runs (it may have ended already).
        """
        return self._engine.cancel(record_id)

    def _begin(self, work: Work) -> None:
        self._log.append(
            RecordType.PROMPT,
            actor=work.actor,
            meta=begin_meta(work),
            content=begin_content(work),
            subject=work.subject,
            retention=work.retention,
            event=work.record_id,
        )


class _Run:
    """One request whose begin record is durable."""

    def __init__(self, engine: EngineClient, log: AuditClient, work: Work, grade: Grade) -> None:
        self._grade = grade
        self._engine = engine
        self._log = log
        self._work = work
        self._gathered: Gathering | Found = (
            Found(work.kind) if work.kind.is_read else Gathering(work.kind)
        )
        self._identity: AnswerIdentity | None = None
        self._started = time.monotonic()
        self._first_token: float | None = None
        self._ended = False

    def events(self) -> Generator[Event]:
        """Begin record, answer, end record; closing the generator early is a cancellation."""
        outcome = "error:internal"
        try:
            gathered = self._gathered
            yield from (
                self._read(gathered) if isinstance(gathered, Found) else self._answer(gathered)
            )
        except EngineError as error:
            yield self._failed(error)
        except (GeneratorExit, KeyboardInterrupt):
            # Ctrl-C may come while we wait for the engine's next byte: it is raised in here.
            outcome = _CANCELLED
            raise
        finally:
            # Left early, or by an error of ours: the begin record gets its end all the same.
            if not self._ended:
                self._end_quietly(outcome)

    def _read(self, found: Found) -> Generator[Event]:
        embeds = self._work.kind is Kind.EMBEDDING
        ask = self._engine.embed if embeds else self._engine.classify
        answer = ask(self._work.body, self._work.record_id)
        self._identity, found.answer = answer.identity, answer.body
        yield Began(self._work.record_id, answer.identity)
        yield self._finished()

    def _answer(self, gathered: Gathering) -> Generator[Event]:
        with self._open() as stream:
            self._identity = stream.identity
            yield Began(self._work.record_id, stream.identity)
            try:
                yield from self._released(self._deltas(stream, gathered))
            except AuditError as error:
                metrics.UNRECORDED.labels("part").inc()
                self._end_quietly("error:log_unavailable")
                yield _log_failed(error)
                return
        yield self._finished()

    def _deltas(self, stream: AnswerStream, gathered: Gathering) -> Generator[Delta]:
        for chunk in stream:
            gathered.add(chunk)
            if chunk.text and self._first_token is None:
                self._first_token = time.monotonic()
            yield Delta(chunk.text, chunk.index, chunk.body)

    def _released(self, deltas: Iterable[Delta]) -> Iterable[Delta]:
        if self._grade == "default":
            return deltas
        return release_recorded(deltas, self._log, self._work)

    def _open(self) -> AnswerStream:
        body = {**self._work.body, "stream_options": {"include_usage": True}}
        if self._work.kind is Kind.COMPLETION:
            return self._engine.stream_complete(body, self._work.record_id)
        return self._engine.stream_chat(body, self._work.record_id)

    def _finished(self) -> Event:
        gathered, task = self._gathered, self._work.task
        cancelled = gathered.finish_reason == _CANCELLED
        checks: tuple[Check, ...] = ()
        if task is not None and not cancelled:
            checks = task.checks(gathered.text, self._work.inputs, gathered.finish_reason)
        try:
            receipt = self._end(_CANCELLED if cancelled else "answered", checks)
        except AuditError as error:
            return _log_failed(error)
        return Finished(
            text=gathered.text,
            finish_reason=gathered.finish_reason,
            usage=gathered.usage,
            checks=checks,
            receipt=receipt,
            body=gathered.body(),
        )

    def _failed(self, error: EngineError) -> Failed:
        try:
            self._end(_CANCELLED if error.code == CANCELLED else f"error:{error.code}")
        except AuditError as log_error:
            return _log_failed(log_error)
        return Failed(error.status, error.code, error.message, error.retry_after, error.param)

    def _end(self, outcome: str, checks: tuple[Check, ...] = ()) -> Receipt:
        self._ended = True
        seconds = {"duration": time.monotonic() - self._started}
        if self._first_token is not None:
            seconds["first_token"] = self._first_token - self._started
        try:
            receipt = self._log.append(
                RecordType.ANSWER,
                actor=self._work.actor,
                meta=end_meta(self._work, self._gathered, self._identity, outcome, checks, seconds),
                content=self._gathered.content(),
                subject=self._work.subject,
                retention=self._work.retention,
            )
        except AuditError:
            metrics.UNRECORDED.labels("end").inc()
            raise
        metrics.count(self._work.source, outcome, seconds, self._gathered.usage)
        return receipt

    def _end_quietly(self, outcome: str) -> None:
        try:
            self._end(outcome)
        except AuditError as error:
            # Nobody is left to be told; the log itself shows a begin record without an end.
            _logger.error("no end record for %s: %s", self._work.record_id, error)


def _log_failed(error: AuditError) -> Failed:
    if isinstance(error, LogUnavailableError):
        if error.code == "no_room":
            return Failed(503, "log_full", _FULL, _LOG_RETRY_SECONDS)
        return Failed(
            503,
            "log_unavailable",
            "The audit log did not take the record, so there is no answer. "
            "Try again later; if it lasts, tell an administrator.",
            _LOG_RETRY_SECONDS,
        )
    return Failed(500, "record_refused", f"The audit log refuses this record: {error}")
