"""Reading the body of a request: strict, bounded, and clear about what is wrong."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from appliance.web.api.errors import ApiError

MAX_BODY = 4 * 1024 * 1024  # bytes
# A JSON body beyond that is still read up to here, so that the error can name the field.
MAX_JSON = 16 * 1024 * 1024
# What is sent beyond the limit is read and dropped, up to here, so that the client gets to read
# the error instead of a connection reset.
_MAX_DRAIN = 64 * 1024 * 1024
_PIECE = 64 * 1024


def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        ApiError: 400 for a body that is no UTF-8, no JSON, no object, holds what JSON does not know
            (NaN, half of a surrogate pair), or has a field that is too long; 413 for one so large
            that it is not looked at.
    """
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise too_large(request) from None
    # A body in chunks has no length in its head; Werkzeug then cuts it at the limit in silence.
    if len(raw) == MAX_JSON and request.environ["wsgi.input"].read(1):
        raise too_large(request)
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(f"The body is not UTF-8: byte {error.start} does not belong there.") from None
    except UnicodeEncodeError:
        raise _bad("The body holds half of a surrogate pair (\\uD800 to \\uDFFF).") from None
    except RecursionError:
        raise _bad("The body is nested too deeply.") from None
    except ValueError as error:
        raise _bad(f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise _bad("The body must be a JSON object.")
    if len(raw) > MAX_BODY:
        raise _too_long(body)
    return body


def too_large(request: Request) -> ApiError:
    """The error for a body above the limit, once the rest of it is out of the way."""
    stream = request.environ["wsgi.input"]
    left = _MAX_DRAIN
    while left > 0 and (piece := stream.read(min(left, _PIECE))):
        left -= len(piece)
    limit = request.max_content_length
    return ApiError(
        413, "request_too_large", f"The body is larger than {limit} bytes; send less at once."
    )


def text_field(body: dict[str, Any], name: str) -> str:
    """A field that must be there and be text."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise field_error(name, "must be given, as text" if value is None else "must be text")
    return value


def flag_field(body: dict[str, Any], name: str) -> bool:
    """A field that is true, false, or not there."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise field_error(name, "must be true or false")
    return bool(value)


def object_field(body: dict[str, Any], name: str) -> dict[str, Any]:
    """A field that is an object, or not there."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise field_error(name, "must be an object")
    return value


def field_error(name: str, expected: str) -> ApiError:
    """A 400 that names the field."""
    return ApiError(400, "invalid_value", f"{name!r} {expected}.", param=name)


def _too_long(body: dict[str, Any]) -> ApiError:
    sizes = {name: len(json.dumps(value, ensure_ascii=False)) for name, value in body.items()}
    longest = max(sizes, key=lambda name: sizes[name])
    return field_error(
        longest[:64], f"makes the body larger than {MAX_BODY} bytes; send less at once"
    )


def _bad(message: str) -> ApiError:
    return ApiError(400, "invalid_body", message)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
