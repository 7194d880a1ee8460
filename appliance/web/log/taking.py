"""Exports from the page: a reason first, a record before a byte leaves, a bar while it is made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.http import parse_range_header

from appliance.identity import Role
from appliance.web import state
from appliance.web.access import needs
from appliance.web.api.errors import json_response
from appliance.web.log.archive import Archive
from appliance.web.log.exports import KEEP, Export, ExportRefusedError
from appliance.web.log.sitting import (
    MAX_REASON,
    MIN_REASON,
    SittingError,
    check_reason,
)
from appliance.web.redirect import see_other
from appliance.web.services import services
from appliance.web.session import account
from audit.client import AuditClient, Receipt, RecordType
from audit.export.make import Exported
from audit.report import format_time

blueprint = Blueprint("taking", __name__)


@blueprint.get("/log/export")
@needs(Role.OFFICER)
def show() -> str:
    """Exports that there are, and the form for another."""
    return _page()


@blueprint.get("/log/export/now")
@needs(Role.OFFICER, background=True)
def now() -> Response:
    """How far the exports are, for the page's script."""
    found = services().exports.latest()
    return json_response(
        {one.id: {"state": one.state, "done": one.done, "total": one.total} for one in found}
    )


@blueprint.post("/log/export")
@needs(Role.OFFICER)
def begin() -> Response | tuple[str, int]:
    """Record the reason, then begin."""
    try:
        reason = check_reason(request.form.get("reason", ""))
        since, until = _moment("since"), _moment("until")
        services().exports.check_room()
    except (SittingError, ExportRefusedError) as error:
        return _page(str(error)), 400
    asked = {"since": _text(since), "until": _text(until), "resumed": False}
    receipt = _note(services().log, account().name, "begun", asked, reason)
    began = datetime.now(UTC).timestamp()
    _make(Export(receipt.event, account().name, began, since, until))
    return see_other(url_for("taking.show"))


@blueprint.post("/log/export/<export_id>/resume")
@needs(Role.OFFICER)
def resume(export_id: str) -> Response | tuple[str, int]:
    """Go on with an export that stopped."""
    export = _export(export_id)
    try:
        services().exports.check_room()
    except ExportRefusedError as error:
        return _page(str(error)), 400
    _note(services().log, account().name, "begun", {"begin": export.id, "resumed": True})
    _make(export)
    return see_other(url_for("taking.show"))


@blueprint.post("/log/export/<export_id>/delete")
@needs(Role.OFFICER)
def delete(export_id: str) -> Response | tuple[str, int]:
    """Remove an export from the appliance."""
    try:
        services().exports.delete(_export(export_id))
    except ExportRefusedError as error:
        return _page(str(error)), 400
    return see_other(url_for("taking.show"))


@blueprint.get("/log/export/<export_id>.tar")
@needs(Role.OFFICER)
def fetch(export_id: str) -> Response:
    """The export as a tar file, from the byte on that is asked for."""
    export = _export(export_id)
    if export.state != "finished":
        raise NotFound
    name = f"export-{datetime.fromtimestamp(export.begun_at, UTC):%Y-%m-%d}-{export.id[-8:]}"
    archive = Archive(services().exports.folder(export), name)
    start = _start(archive.size, export.digest)
    facts = {"begin": export.id, "sha256": export.digest, "from": start}
    _note(services().log, account().name, "fetched", facts)
    response = Response(archive.read(start), mimetype="application/x-tar")
    response.content_length = archive.size - start
    response.set_etag(export.digest)
    response.accept_ranges = "bytes"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.tar"'
    if start:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{archive.size - 1}/{archive.size}"
    return response


def _start(size: int, digest: str) -> int:
    """The byte that a download goes on from; 0 unless one goes on with this very export."""
    wanted = parse_range_header(request.headers.get("Range"))
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return 0
    if request.headers.get("If-Range", f'"{digest}"') != f'"{digest}"':
        return 0
    start, end = wanted.ranges[0]
    # Only "from here to the end" is a download that goes on; anything else gets the whole.
    return start if end is None and 0 <= start < size else 0


def _make(export: Export) -> None:
    log, by = services().log, account().name

    def finished(made: Exported) -> None:
        facts = made.facts
        found = {"records": facts.size, "first": facts.first, "end": facts.end}
        _note(log, by, "finished", {"begin": export.id, **found, "sha256": made.digest})

    services().exports.make(export, finished)


def _note(
    log: AuditClient, by: str, what: str, facts: dict[str, Any], reason: str | None = None
) -> Receipt:
    meta = {"event": f"audit:export:{what}", "source": "web", **facts}
    content = None if reason is None else {"reason": reason}
    return log.append(RecordType.ACCESS, actor=by, meta=meta, content=content)


def _page(error: str | None = None) -> str:
    status = state.log_status()
    found = services().exports.latest()
    return render_template(
        "log/export.html",
        standing=state.of_log(status),
        exports=[(one, _period(one)) for one in found],
        error=error,
        shortest=MIN_REASON,
        longest=MAX_REASON,
        hours=int(KEEP.total_seconds() // 3600),
        form=request.form,
    )


def _period(export: Export) -> str:
    since, until = (
        None if one is None else format_time(one) for one in (export.since, export.until)
    )
    if since and until:
        return f"{since} to {until}"
    if since or until:
        return f"since {since}" if since else f"before {until}"
    return "All records"


def _export(export_id: str) -> Export:
    found = services().exports.get(export_id)
    if found is None:
        raise NotFound
    return found


def _moment(name: str) -> int | None:
    """A moment of the form, UTC, in nanoseconds since 1970.

    Raises:
        SittingError: It is no time.
    """
    text = request.form.get(name, "")
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise SittingError("Give times as 2026-11-23T14:00.") from error
    return int(when.replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def _text(moment: int | None) -> str | None:
    return None if moment is None else format_time(moment)
