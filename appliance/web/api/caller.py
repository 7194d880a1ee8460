"""Who calls: the API key of a request, what it may do, and the record of what was refused."""

from __future__ import annotations

from flask import g, request

from appliance.identity import KeyPrincipal
from appliance.identity.errors import BadKeyError
from appliance.identity.events import Event
from appliance.web.api.errors import ApiError
from appliance.web.client import address
from appliance.web.services import services
from audit.client import RecordType
from audit.errors import AuditError, LogUnavailableError

_REFUSED = "api:request:refused"


def identify() -> None:
    """Find out whose key the request carries.

    Raises:
        ApiError: 401; the log has a record of it.
        LogUnavailableError: The key is bad and the log did not take the record.
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    presented = key.strip() if scheme.lower() == "bearer" else None
    try:
        g.caller = services().keys.check(presented, address())
    except BadKeyError as error:
        raise ApiError(401, "invalid_api_key", str(error), record_id=error.record_id) from None


def caller() -> KeyPrincipal:
    """Whose key the request carries."""
    found: KeyPrincipal = g.caller
    return found


def require_model(model: str) -> None:
    """Refuse a model that is outside the key's scope.

    Raises:
        ApiError: 403; the log has a record of it.
    """
    if not caller().may_use_model(model):
        raise _out_of_scope("model", model)


def require_task(task: str) -> None:
    """Refuse a task that is outside the key's scope.

    Raises:
        ApiError: 403; the log has a record of it.
    """
    if not caller().may_run_task(task):
        raise _out_of_scope("task", task)


def record_refusal(error: ApiError) -> ApiError:
    """Give an error the record that it lacks: what was refused and why, without its words.

    Returns:
        The error with its record's id, or a 503 where the log did not take the record.
    """
    if error.record_id is not None or "caller" not in g:
        return error
    meta = {
        "event": _REFUSED,
        "path": request.path[:256],
        "status": error.status,
        "code": error.code,
        "param": error.param and error.param[:256],
        "key": caller().prefix,
        "address": address(),
    }
    try:
        receipt = services().log.append(RecordType.FAULT, actor=caller().actor, meta=meta)
    except AuditError as log_error:
        return of_log_error(log_error)
    error.record_id = receipt.event
    return error


def of_log_error(error: AuditError) -> ApiError:
    """What a caller gets to see when the log does not take a record."""
    if isinstance(error, LogUnavailableError):
        return ApiError(
            503,
            "log_unavailable",
            "The audit log takes no records, so nothing is answered. Try again later; "
            "if it lasts, tell an administrator.",
        )
    return ApiError(500, "record_refused", "The audit log refuses the record of this request.")


def _out_of_scope(what: str, name: str) -> ApiError:
    record_id = services().identity_log.write(
        Event.ACCESS_REFUSED, caller().actor, address=address(), **{what: name[:256]}
    )
    return ApiError(
        403,
        "out_of_scope",
        f"This API key may not use the {what} {name[:80]!r}. "
        "Ask an administrator for a key with a wider scope.",
        param=what,
        record_id=record_id,
    )
