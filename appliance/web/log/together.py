"""Opening contents by two officers: one asks, one of the other group agrees, the first one reads.

Every step is a record before it takes effect. What passes through here is sealed: the reason to all
officers, the halves of the records' keys to the officer who asked.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from flask import Blueprint, Response, render_template, request

from appliance.identity import Role
from appliance.web import state
from appliance.web.access import needs
from appliance.web.api.errors import json_response
from appliance.web.log.asked import sealed_of
from appliance.web.log.openings import KEEP, MAX_RECORDS, Asked, Opening
from appliance.web.log.sitting import (
    MAX_REASON,
    MIN_REASON,
    DeskEvent,
    SittingError,
    check_reason,
    note,
)
from appliance.web.log.telling import (
    answers_in_json,
    desk,
    row_of,
    sitting_of_request,
    text_of,
)
from appliance.web.services import services
from appliance.web.session import account
from audit.age import parse_recipient
from audit.errors import AgeFormatError
from audit.officers import GROUPS

blueprint = Blueprint("together", __name__)
_MAX_ANSWER: Final = 64 * 1024  # bytes of the sealed halves


@blueprint.get("/log/openings")
@needs(Role.OFFICER)
def show() -> str:
    """The page: what waits for somebody's agreement, and what one asked for."""
    status = state.log_status()
    return render_template(
        "log/openings.html",
        standing=state.of_log(status),
        shortest=MIN_REASON,
        longest=MAX_REASON,
        hours=KEEP.total_seconds() // 3600,
    )


@blueprint.post("/log/openings/list")
@needs(Role.OFFICER)
@answers_in_json
def list_all() -> Response:
    """All requests that are not too old; reasons are sealed."""
    sitting_of_request()
    mine = account().id
    return json_response(
        {
            "openings": [
                {
                    "id": one.id,
                    "by": one.by,
                    "mine": one.account_id == mine,
                    "at": one.created_at.isoformat(timespec="seconds"),
                    "state": one.state,
                    "decided_by": one.decided_by,
                    "group": one.asked.group,
                    "recipient": one.asked.recipient,
                    "records": one.asked.records,
                    "reason": one.asked.reason,
                }
                for one in services().openings.latest()
            ]
        }
    )


@blueprint.post("/log/openings/ask")
@needs(Role.OFFICER)
@answers_in_json
def ask() -> Response:
    """Ask for the contents of some records."""
    sitting = sitting_of_request()
    words = check_reason(request.form.get("reason", ""))
    asked = _asked()
    desk().records(asked.records)
    facts = {"records": asked.records, "group": asked.group}
    content = {"reason": words, "key": asked.recipient}
    receipt = note(sitting, DeskEvent.ASKED, facts, content)
    services().openings.ask(receipt.event, account().id, asked)
    return json_response({"id": receipt.event})


@blueprint.post("/log/openings/<opening_id>/read")
@needs(Role.OFFICER)
@answers_in_json
def read(opening_id: str) -> Response:
    """The sealed metadata of what is asked for, for who has to decide."""
    sitting, opening = sitting_of_request(), _opening(opening_id)
    rows = desk().records(opening.asked.records)
    note(sitting, DeskEvent.READ, _facts(opening))
    return json_response({"rows": [row_of(row) for row in rows]})


@blueprint.post("/log/openings/<opening_id>/decide")
@needs(Role.OFFICER)
@answers_in_json
def decide(opening_id: str) -> Response:
    """Agree, with the halves of the records' keys, or refuse."""
    sitting, opening = sitting_of_request(), _opening(opening_id)
    if opening.account_id == account().id:
        raise SittingError("Somebody else has to agree: this request is your own.")
    answer = request.form.get("answer") or None
    if answer is not None:
        _check_answer(answer)
    if opening.decided_by is not None:
        raise SittingError(f"{opening.decided_by} has decided this request already.")
    note(sitting, DeskEvent.REFUSED if answer is None else DeskEvent.AGREED, _facts(opening))
    if not services().openings.decide(opening.id, account().name, answer):
        raise SittingError("Somebody has decided this request in this moment.")
    return json_response({})


@blueprint.post("/log/openings/<opening_id>/contents")
@needs(Role.OFFICER)
@answers_in_json
def contents(opening_id: str) -> Response:
    """The sealed contents and the sealed halves of their keys, for who asked."""
    sitting, opening = sitting_of_request(), _own(opening_id)
    if opening.answer is None:
        raise SittingError("Nobody has agreed to this request yet.")
    rows = desk().records(opening.asked.records, contents=True)
    note(sitting, DeskEvent.OPENED_CONTENTS, _facts(opening))
    words = services().log.subject_keys([row.index for row in rows])
    return json_response(
        {
            "answer": opening.answer,
            "rows": [
                row_of(row)
                | {"content": None if row.content is None else text_of(row.content), "key": word}
                for row, word in zip(rows, words, strict=True)
            ],
        }
    )


@blueprint.post("/log/openings/<opening_id>/withdraw")
@needs(Role.OFFICER)
@answers_in_json
def withdraw(opening_id: str) -> Response:
    """Forget a request of one's own, with its answer."""
    sitting, opening = sitting_of_request(), _own(opening_id)
    note(sitting, DeskEvent.WITHDRAWN, _facts(opening))
    services().openings.withdraw(opening.id, account().id)
    return json_response({})


def _asked() -> Asked:
    try:
        places = json.loads(request.form.get("records", ""))
        recipient, group = request.form.get("recipient", ""), request.form.get("group", "")
        parse_recipient(recipient)
        if group not in GROUPS or not all(type(one) is int and one >= 0 for one in places):
            raise ValueError(group)
        reason = sealed_of(request.form.get("sealed", ""))
    except (ValueError, TypeError, AgeFormatError) as error:
        raise SittingError("The request was not understood. Reload the page.") from error
    if not 1 <= len(set(places)) <= MAX_RECORDS:
        raise SittingError(f"Ask for 1 to {MAX_RECORDS} records at once.")
    return Asked(group, recipient, sorted(set(places)), reason)


def _opening(opening_id: str) -> Opening:
    found = services().openings.get(opening_id)
    if found is None:
        raise SittingError("This request was withdrawn, or it is too old. Reload the page.")
    return found


def _own(opening_id: str) -> Opening:
    found = _opening(opening_id)
    if found.account_id != account().id:
        raise SittingError("This request is another officer's.")
    return found


def _check_answer(answer: str) -> None:
    try:
        sound = base64.b64decode(answer, validate=True).startswith(b"age-encryption.org/v1\n")
    except (binascii.Error, ValueError):
        sound = False
    if not sound or len(answer) > _MAX_ANSWER:
        raise SittingError("The answer is no age file. Reload the page.")


def _facts(opening: Opening) -> dict[str, Any]:
    """What every record about a request has; `opening` is the id of the record that asked."""
    return {"opening": opening.id, "records": opening.asked.records}
