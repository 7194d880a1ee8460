"""Errors of the API, in OpenAI's shape."""

from __future__ import annotations

import json
from typing import Any

from flask import Response

from appliance.tasks.work import Failed

RECORD_ID = "X-Record-Id"
_DEFAULT_RETRY = 5  # seconds
_NEEDS_RETRY = {429, 503}


class ApiError(Exception):
    """A request that gets an error object instead of an answer.

    Args:
        status: HTTP status.
        code: Machine-readable cause.
        message: For people: what is wrong and what to do; no prompt, no answer.
        param: Field of the request that is wrong, if one is.
        retry_after: Seconds after which another try makes sense; 429 and 503 always carry one.
        record_id: Id of the log's record of this, where one was written already.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        record_id: str | None = None,
    ) -> None:
        """Fill in the error."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.record_id = record_id

    @classmethod
    def of(cls, failed: Failed, record_id: str) -> ApiError:
        """The error that the pipeline ended with."""
        return cls(
            failed.status,
            failed.code,
            failed.message,
            param=failed.param,
            retry_after=failed.retry_after,
            record_id=record_id,
        )

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {
            "error": {
                "message": self.message,
                "type": _type(self.status),
                "code": self.code,
                "param": self.param,
            }
        }

    def response(self) -> Response:
        """The HTTP answer."""
        response = json_response(self.body(), self.status)
        if self.status in _NEEDS_RETRY:
            response.headers["Retry-After"] = str(self.retry_after or _DEFAULT_RETRY)
        if self.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if self.record_id is not None:
            response.headers[RECORD_ID] = self.record_id
        return response


def json_response(body: object, status: int = 200) -> Response:
    """A JSON answer."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, mimetype="application/json")


def _type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return {403: "permission_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")
