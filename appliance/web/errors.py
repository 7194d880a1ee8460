"""Error pages: what happened and what to do next, in the same look; never a traceback."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from flask import Flask, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException, SecurityError

from appliance.engine.errors import EngineError
from appliance.web.api.errors import ApiError
from appliance.web.guard import RoleMissingError, wants_events
from appliance.web.session import CsrfError
from audit.errors import LogUnavailableError, RecordRefusedError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """An error as a page shows it.

    Args:
        status: HTTP status code.
        title: What happened, in a few words.
        message: What it means.
        next_step: What the person can do.
        retry_after: Seconds after which another try makes sense.
        record_id: Id of the record in the log, where the request got that far.
    """

    status: int
    title: str
    message: str
    next_step: str
    retry_after: int | None = None
    record_id: str | None = None


_BY_STATUS: Final = {
    400: (
        "The request was not understood",
        "The browser sent something that this page does not expect.",
        "Go back, reload the page and try again.",
    ),
    401: (
        "You are signed out",
        "The session has ended, so nothing was run.",
        "Sign in on another tab, then reload this page; copy your text first.",
    ),
    403: (
        "This page is not open to you",
        "Your account does not have the role that this page needs.",
        "If you need it for your work, ask an administrator for the role.",
    ),
    404: (
        "There is no such page",
        "The address is wrong, or what it named is not here any more.",
        "Begin at the list of tasks.",
    ),
    405: (
        "That does not work here",
        "The page exists, but it can not be used in this way.",
        "Open it from the menu instead.",
    ),
    413: (
        "That is too much at once",
        "The text or file is larger than this appliance takes in one request.",
        "Send a shorter piece.",
    ),
    429: (
        "Too much at once",
        "You have more running than one person may at the same time.",
        "Wait until one of your answers has ended, then try again.",
    ),
    500: (
        "Something went wrong here",
        "The appliance met an error that it did not expect. What you typed was not written to "
        "its system log.",
        "Try again. If it happens again, tell an administrator the time at which it happened.",
    ),
    503: (
        "Not available just now",
        "A part of the appliance does not answer, or all its places are taken.",
        "Try again in a minute. If it stays so, tell an administrator.",
    ),
}


def register(app: Flask) -> None:
    """Show every error of a page as a page."""
    app.register_error_handler(CsrfError, _csrf)
    app.register_error_handler(RoleMissingError, _http)
    app.register_error_handler(SecurityError, _unknown_host)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(LogUnavailableError, _log_away)
    app.register_error_handler(RecordRefusedError, _log_away)
    app.register_error_handler(EngineError, _engine)
    app.register_error_handler(ApiError, _busy)
    app.register_error_handler(Exception, _unexpected)


def problem_of(status: int) -> Problem:
    """The words for a status code; an unknown one gets those of 500 or 400."""
    known = status if status in _BY_STATUS else (500 if status >= 500 else 400)
    return Problem(status, *_BY_STATUS[known])


def log_away() -> Problem:
    """The log does not take records, so nothing runs."""
    return Problem(
        503,
        "The log takes no records",
        "Nothing runs and nothing is changed while a request can not be recorded.",
        "Tell an administrator; the page System says what the log is waiting for.",
        retry_after=10,
    )


def engine_problem(
    status: int, message: str, retry_after: int | None, record_id: str | None = None
) -> Problem:
    """The engine's own words about why there is no answer."""
    if status < 500:
        return Problem(
            status,
            "The text can not be run",
            message,
            "Change the text and run the task again.",
            record_id=record_id,
        )
    wait = f"Try again in {retry_after} seconds." if retry_after else "Run the task again."
    return Problem(
        status,
        "The model gave no answer",
        message,
        f"{wait} If it stays so, tell an operator.",
        retry_after,
        record_id,
    )


def show(problem: Problem) -> Response:
    """The error page, or the bare fragment for a script that asked."""
    template = "parts/problem.html" if wants_events() else "pages/error.html"
    response = make_response(render_template(template, problem=problem), problem.status)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _csrf(error: CsrfError) -> Response:
    return show(
        Problem(
            403,
            "This form has expired",
            "It was made for a session that has ended, or not by this appliance. "
            "Nothing was changed.",
            "Reload the page, then do it again.",
        )
    )


def _unknown_host(error: SecurityError) -> Response:
    # The error page's links need a known host; so this one is plain text.
    text = (
        "This appliance is not known by the name in your address bar.\n"
        "Use its own name. An administrator can add a name with the setting web_names.\n"
    )
    return Response(text, 400, mimetype="text/plain")


def _http(error: HTTPException) -> Response:
    response = show(problem_of(error.code or HTTPStatus.INTERNAL_SERVER_ERROR))
    if error.code == HTTPStatus.METHOD_NOT_ALLOWED and error.get_headers():
        response.headers.extend(
            (name, value) for name, value in error.get_headers() if name == "Allow"
        )
    return response


def _log_away(error: LogUnavailableError | RecordRefusedError) -> Response:
    logger.error("the log took no record: %s", error)
    return show(log_away())


def _engine(error: EngineError) -> Response:
    return show(engine_problem(error.status, error.message, error.retry_after))


def _busy(error: ApiError) -> Response:
    return show(replace(problem_of(error.status), retry_after=error.retry_after))


def _unexpected(error: Exception) -> Response:
    return show(unexpected(error))


def unexpected(error: Exception) -> Problem:
    """Note an error of ours by its type and place: its message may hold what somebody typed."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "unknown" if place is None else f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
    logger.error("%s at %s in %s %s", type(error).__name__, where, request.method, request.url_rule)
    return problem_of(HTTPStatus.INTERNAL_SERVER_ERROR)
