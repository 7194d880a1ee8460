"""Witnesses: taking the log's checkpoint out of the house, and their word back in."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Final

import segno
from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.exceptions import NotFound

from appliance.identity import Role
from appliance.web import state
from appliance.web.access import needs
from appliance.web.log.exposure import exposure
from appliance.web.log.telling import desk
from appliance.web.redirect import see_other
from appliance.web.services import services
from audit.cosign import Witness
from audit.errors import (
    LogFormatError,
    LogUnavailableError,
    NoteFormatError,
    NoteSignatureError,
    OfficersFileError,
    RecordRefusedError,
)
from audit.note import read_checkpoint
from audit.officers import load_officers

blueprint = Blueprint("outside", __name__)

_DER: Final = b"\x30"  # how a time stamp begins, and no note
_MAX_NOTE: Final = 128 * 1024  # bytes
_MODULE: Final = 4  # units of the drawing for one square of a code
_QUIET: Final = 4  # squares of white around it, as ISO/IEC 18004 wants


@blueprint.get("/log/witness")
@needs(Role.OFFICER)
def show() -> str:
    """How many records no outsider has seen, and the ways to change that."""
    return _page()


@blueprint.post("/log/witness")
@needs(Role.OFFICER)
def take() -> Response | tuple[str, int]:
    """Bring a witness's word into the log."""
    file = request.files.get("file")
    raw = file.stream.read(_MAX_NOTE + 1) if file else request.form.get("note", "").encode()
    try:
        services().log.witness(_word(raw))
    except UnicodeDecodeError:
        words = "This file is neither a signed note nor a time stamp, so it is no witness's word."
        return _page(words), 400
    except (RecordRefusedError, NoteFormatError, NoteSignatureError, LogFormatError) as error:
        return _page(str(error)), 400
    except LogUnavailableError as error:
        return _page(str(error)), 503
    return see_other(url_for("outside.show", done="witnessed"))


@blueprint.get("/log/witness/checkpoint.json")
@needs(Role.OFFICER)
def checkpoint() -> Response:
    """What a witness is asked to sign, as a file."""
    since = request.args.get("since", type=int)
    try:
        text = desk().witness_request(since).to_json()
    except LogFormatError as error:
        raise NotFound from error
    return _file(text, "application/json", "checkpoint.json")


@blueprint.get("/log/witness/checkpoint.tsq")
@needs(Role.OFFICER)
def query() -> Response:
    """A query for a time stamp of the newest checkpoint, as a file."""
    try:
        asked = desk().stamp_query()
    except LogFormatError as error:
        raise NotFound from error
    return _file(asked, "application/timestamp-query", "checkpoint.tsq")


@blueprint.get("/log/witness/sheet")
@needs(Role.OFFICER)
def sheet() -> str:
    """The newest checkpoint on one page for paper."""
    note = _note(None)
    seen = read_checkpoint(note)
    return render_template("log/sheet.html", note=note, seen=seen, printed=datetime.now(UTC))


@blueprint.get("/log/witness/<int:size>.svg")
@needs(Role.OFFICER)
def code(size: int) -> Response:
    """The checkpoint at a size as a QR code, which holds the whole signed note."""
    drawing = io.BytesIO()
    made = segno.make(_note(size), error="m", micro=False)
    made.save(drawing, kind="svg", scale=_MODULE, border=_QUIET, light="#fff", xmldecl=False)
    return Response(drawing.getvalue(), mimetype="image/svg+xml")


def _page(error: str | None = None) -> str:
    status = state.log_status()
    return render_template(
        "log/witness.html",
        standing=state.of_log(status),
        log=status,
        exposure=None if status is None else exposure(status),
        witnesses=_witnesses(),
        error=error,
    )


def _witnesses() -> tuple[Witness, ...]:
    try:
        return load_officers(services().settings.officers).witnesses
    except OfficersFileError:
        return ()


def _word(raw: bytes) -> str:
    """What the log takes: the note as it is, or the checkpoint that a time stamp is of."""
    if raw.startswith(_DER):
        return desk().stamped(raw, _witnesses())
    # A form's text has the line ends of the network.
    return raw.decode("utf-8").replace("\r\n", "\n").strip("\n") + "\n"


def _note(size: int | None) -> str:
    try:
        note = desk().checkpoint(size)
    except LogFormatError as error:
        raise NotFound from error
    if note is None:
        raise NotFound
    return note


def _file(body: str | bytes, mimetype: str, name: str) -> Response:
    response = Response(body, mimetype=mimetype)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
