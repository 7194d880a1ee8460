"""What the officers' pages are told: JSON, and what is wrong in a sentence."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, request

from appliance.web.api.errors import json_response
from appliance.web.log.sitting import Sitting, SittingError, resume
from appliance.web.services import services
from audit.desk import Desk
from audit.errors import LogFormatError, LogUnavailableError, RecordRefusedError
from audit.rows import Row

_View = Callable[..., Response]


def answers_in_json(view: _View) -> _View:
    """Have a view tell the page's script what is wrong in a sentence."""

    @wraps(view)
    def told(*arguments: Any, **named: Any) -> Response:  # noqa: ANN401 - Flask's
        try:
            return view(*arguments, **named)
        except SittingError as error:
            return json_response({"error": str(error)}, 400)
        except (LogUnavailableError, RecordRefusedError):
            words = "The log takes no records now, so nothing is shown. Tell an administrator."
            return json_response({"error": words}, 503)
        except LogFormatError as error:
            return json_response({"error": str(error)}, 500)

    return told


def desk() -> Desk:
    """The log's reader."""
    return Desk(services().settings.audit)


def sitting_of_request() -> Sitting:
    """The sitting that the page says it belongs to.

    Raises:
        SittingError: It is none of this session.
    """
    return resume(request.form.get("sitting", ""), request.form.get("code", ""))


def row_of(row: Row) -> dict[str, Any]:
    """A record with its sealed metadata, as the page gets it."""
    return {"leaf": text_of(row.leaf), "meta": None if row.meta is None else text_of(row.meta)}


def text_of(raw: bytes) -> str:
    """Bytes as the page gets them."""
    return base64.b64encode(raw).decode()
