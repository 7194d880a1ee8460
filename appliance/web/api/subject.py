"""The header by which a caller says whom or which case a request is about."""

from __future__ import annotations

from flask import request

from appliance.tasks.errors import TaskInputError
from appliance.tasks.subject import clean_subject
from appliance.web.api.errors import ApiError

HEADER = "X-Subject"


def subject() -> str | None:
    """The subject of this request, None where it names none.

    Raises:
        ApiError: 400 for one that is no name.
    """
    try:
        # WSGI gives the bytes of a header as Latin-1 (PEP 3333); here they are UTF-8.
        text = request.headers.get(HEADER, "").encode("latin-1").decode("utf-8")
        return clean_subject(text, HEADER)
    except UnicodeError:
        message = f"{HEADER} must be UTF-8."
    except TaskInputError as error:
        message = error.message
    raise ApiError(400, "invalid_subject", message, param=HEADER)
