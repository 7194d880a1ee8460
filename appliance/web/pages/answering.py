"""Running a task for a page: streamed as events, or whole for a browser without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from flask import Response, render_template, request, stream_with_context

from appliance.engine.identity import AnswerIdentity
from appliance.tasks.task import Task
from appliance.tasks.work import Began, Delta, Event, Failed, Finished, Work
from appliance.web import errors
from appliance.web.errors import Problem
from appliance.web.guard import EVENT_STREAM
from appliance.web.pages.events import event, text_event
from appliance.web.pages.showing import receipt_of, shown_answer
from appliance.web.services import services
from appliance.web.worker import state


@dataclass
class Run:
    """One run of a task by an account; collects what the receipt needs."""

    task: Task
    work: Work
    account_id: int
    identity: AnswerIdentity | None = None

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold one of the worker's places for answers, and watch whether the browser stays.

        Raises:
            ApiError: All places are taken.
        """
        gate, who = state().gate, f"account:{self.account_id}"
        gate.enter(who)
        try:
            services().receipts.begin(self.work.record_id, self.account_id)
            client = request.environ.get("gunicorn.socket")
            with closing(state().hang_ups.watch(client, self.work.record_id)):
                yield
        finally:
            gate.leave(who)

    def took(self, item: Event) -> str | None:
        """The fragment of HTML that ends the run, or None while it goes on."""
        if isinstance(item, Began):
            self.identity = item.identity
        elif isinstance(item, Finished):
            return self._answer(item)
        elif isinstance(item, Failed):
            return _fragment(problem_of(item, self.work.record_id))
        return None

    def _answer(self, finished: Finished) -> str:
        assert self.identity is not None  # noqa: S101 - the pipeline's order: Began comes first
        name = services().settings.appliance_id
        receipt = receipt_of(name, self.task, self.work, self.identity, finished)
        services().receipts.finish(receipt)
        answer = shown_answer(self.task, finished)
        return render_template("parts/answer.html", answer=answer, receipt=receipt)


def problem_of(failed: Failed, record_id: str) -> Problem:
    """A failure of the pipeline in a page's words."""
    if failed.code == "log_unavailable":
        return errors.log_away()
    return errors.engine_problem(failed.status, failed.message, failed.retry_after, record_id)


def whole(run: Run) -> str:
    """Run to the end; the fragment that shows the answer or the problem.

    Raises:
        ApiError: All places for answers are taken.
    """
    with run.admitted(), closing(services().pipeline.run(run.work)) as items:
        ends = (run.took(item) for item in items)
        return next(fragment for fragment in ends if fragment is not None)


def streamed(run: Run) -> Response:
    """Run while the browser listens.

    Raises:
        ApiError: All places for answers are taken.
    """
    held = ExitStack()
    held.enter_context(run.admitted())
    response = Response(
        stream_with_context(_lines(run)),
        mimetype=EVENT_STREAM,
        headers={"X-Accel-Buffering": "no", "X-Record-Id": run.work.record_id},
    )
    # Not in the generator: closing one that was never started would give nothing back.
    response.call_on_close(held.close)
    return response


def _lines(run: Run) -> Iterator[str]:
    yield event("waiting", run.work.record_id)
    try:
        with closing(services().pipeline.run(run.work)) as items:
            for item in items:
                yield from _event_of(run, item)
    except Exception as error:
        # The edge: the status line is sent already, so the page learns of it by an event.
        yield event("problem", _fragment(errors.unexpected(error)))


def _event_of(run: Run, item: Event) -> Iterator[str]:
    fragment = run.took(item)
    if isinstance(item, Began):
        yield event("began", item.record_id)
    elif isinstance(item, Delta):
        if item.text:
            yield text_event("delta", item.text)
    else:
        yield event("done" if isinstance(item, Finished) else "problem", fragment or "")


def _fragment(problem: Problem) -> str:
    return render_template("parts/problem.html", problem=problem)
