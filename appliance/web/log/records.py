"""Records for officers: found by what the browser asks blindly, opened in the browser alone.

The officer's key never comes here. This side gives grants, sealed metadata and proofs away, each
time after the log has a record of it.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response, render_template, request

from appliance.identity import Role
from appliance.web import state
from appliance.web.access import needs
from appliance.web.api.errors import json_response
from appliance.web.log.asked import search_of
from appliance.web.log.sitting import (
    MAX_REASON,
    MIN_REASON,
    DeskEvent,
    SittingError,
    begin,
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
from audit.desk import Proven
from audit.leaf import LeafType
from audit.officers import GROUPS
from audit.opening import EpochSpan

blueprint = Blueprint("records", __name__)

_FIELDS: Final = (
    ("actor", "Person", "name as they sign in"),
    ("subject", "Case", "as the caller named it"),
    ("task", "Task", "triage"),
    ("model", "Model", "as it was asked for"),
    ("outcome", "Outcome", "answered"),
    ("event", "Event", "identity:session:opened"),
    ("begin", "Follows record", "record id of a prompt or sitting"),
)


@blueprint.get("/log/records")
@needs(Role.OFFICER)
def show() -> str:
    """The page: key and reason, search, results, one record."""
    status = state.log_status()
    return render_template(
        "log/records.html",
        log=status,
        standing=state.of_log(status),
        fields=_FIELDS,
        kinds=[kind.label for kind in LeafType],
        shortest=MIN_REASON,
        longest=MAX_REASON,
    )


@blueprint.post("/log/records/open")
@needs(Role.OFFICER)
@answers_in_json
def open_log() -> Response:
    """Begin a sitting; the grants of all epochs, which only officers' keys open."""
    sitting = begin(request.form.get("reason", ""), request.form.get("key", ""))
    spans = desk().epochs()
    return json_response(
        {
            "sitting": sitting.record,
            "code": sitting.code,
            "origin": spans[0].opening.origin if spans else "",
            "key": text_of(spans[0].opening.key) if spans else "",
            "epochs": [_epoch(span) for span in spans],
        }
    )


@blueprint.post("/log/records/find")
@needs(Role.OFFICER)
@answers_in_json
def find() -> Response:
    """One step of a search."""
    sitting = sitting_of_request()
    log = services().log.status()
    asked = search_of(request.form, log.origin)
    found = desk().find(asked.query, asked.window, asked.below)
    # A step that finds nothing shows nothing; the first one says what was looked for.
    if found.rows or asked.below is None:
        facts: dict[str, Any] = {"found": len(found.rows)}
        if found.rows:
            facts |= {"first": found.rows[-1].index, "last": found.rows[0].index}
        note(sitting, DeskEvent.SEARCHED, asked.facts() | facts)
    return json_response(
        {
            "rows": [row_of(row) for row in found.rows],
            "below": found.below,
            "looked": found.looked,
        }
    )


@blueprint.post("/log/records/look")
@needs(Role.OFFICER)
@answers_in_json
def look() -> Response:
    """One record's sealed metadata and its proof."""
    sitting = sitting_of_request()
    try:
        index = int(request.form.get("index", ""))
    except ValueError as error:
        raise SittingError("That is no record. Reload the page.") from error
    proven = desk().record(index)
    note(sitting, DeskEvent.LOOKED, {"record": index})
    return json_response(_proven(proven))


def _epoch(span: EpochSpan) -> dict[str, Any]:
    return {
        "number": span.number,
        "start": span.start,
        "end": span.end,
        "grants": {group: text_of(span.opening.grants[group]) for group in GROUPS},
        "recipients": span.opening.recipients,
    }


def _proven(proven: Proven) -> dict[str, Any]:
    word = proven.word
    return {
        **row_of(proven.row),
        "proof": proven.proof,
        "epoch": proven.vkey_epoch,
        "key": text_of(proven.key),
        "witness": None
        if word is None
        else {"name": word.witness, "size": word.size, "when": word.when},
    }
