"""The views of tasks: what there is, and running one."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.datastructures import FileStorage

from appliance.engine.identity import AnswerIdentity
from appliance.tasks.errors import TaskInputError, UnknownTaskError
from appliance.tasks.task import Task
from appliance.tasks.work import Finished, Source, Work
from appliance.web.api import answers, bodies
from appliance.web.api.caller import caller, require_task
from appliance.web.api.errors import ApiError, json_response
from appliance.web.api.subject import subject
from appliance.web.client import address
from appliance.web.services import services

_FILE = "file"
# First bytes of the formats that people will try; the names are for the message.
_FORMATS = {
    b"%PDF-": "PDF",
    b"PK\x03\x04": "Office or ZIP",
    b"\xd0\xcf\x11\xe0": "old Office",
    b"{\\rtf": "RTF",
    b"\x89PNG": "PNG image",
    b"\xff\xd8\xff": "JPEG image",
    b"II*\x00": "TIFF image",
    b"MM\x00*": "TIFF image",
}


def register(blueprint: Blueprint) -> None:
    """Add the views to the API."""
    blueprint.add_url_rule("/tasks", view_func=tasks)
    blueprint.add_url_rule("/tasks/<name>", view_func=task)
    blueprint.add_url_rule("/tasks/<name>", view_func=run, methods=["POST"])


def tasks() -> Response:
    """The tasks that the key may run."""
    listed = [_shape(one) for one in services().tasks if caller().may_run_task(one.name)]
    return json_response({"object": "list", "data": listed})


def task(name: str) -> Response:
    """One task's declaration."""
    return json_response(_shape(_find(name)))


def run(name: str) -> Response:
    """Run a task on JSON inputs or on a plain text file."""
    wanted, who = _find(name), caller()
    inputs = _from_form(wanted) if request.mimetype == "multipart/form-data" else _from_json()
    try:
        work = Work.for_task(
            wanted,
            inputs,
            actor=who.actor,
            source=Source.API,
            key=who.prefix,
            address=address(),
            subject=subject(),
        )
    except TaskInputError as error:
        raise ApiError(400, "invalid_input", error.message, param=error.field) from None
    return answers.whole(work, partial(_answer, wanted))


def _find(name: str) -> Task:
    require_task(name)
    try:
        return services().tasks.get(name)
    except UnknownTaskError as error:
        raise ApiError(404, "task_not_found", str(error), param="task") from None


def _from_json() -> dict[str, object]:
    body = bodies.read_object(request)
    for field in body:
        if field != "inputs":
            raise bodies.field_error(field[:64], "is not a field of this request; use 'inputs'")
    if not isinstance(body.get("inputs"), dict):
        raise bodies.field_error("inputs", "must be an object of the task's inputs")
    inputs: dict[str, object] = body["inputs"]
    return inputs


def _from_form(wanted: Task) -> dict[str, object]:
    inputs: dict[str, object] = dict(request.form.items())
    for part in request.files:
        if part != _FILE:
            raise bodies.field_error(part[:64], "is not a file of this request; use 'file'")
    uploads = request.files.getlist(_FILE)
    if len(uploads) > 1:
        raise bodies.field_error(_FILE, "may be given once")
    if uploads:
        target = wanted.inputs[0].name
        if target in inputs:
            raise bodies.field_error(target, "is given twice: as a field and as 'file'")
        inputs[target] = _text_of(uploads[0])
    return inputs


def _text_of(upload: FileStorage) -> str:
    raw = upload.stream.read()
    for magic, name in _FORMATS.items():
        if raw.startswith(magic):
            raise _unsupported(f"The file is in {name} format")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unsupported(f"The file is not UTF-8 text (byte {error.start})") from None
    if "\x00" in text:
        raise _unsupported("The file holds NUL bytes, so it is not text")
    return text


def _unsupported(why: str) -> ApiError:
    message = f"{why}; this release reads plain text in UTF-8 only. Save it as text and try again."
    return ApiError(415, "unsupported_file", message, param=_FILE)


def _shape(one: Task) -> dict[str, Any]:
    return {
        "object": "task",
        "name": one.name,
        "version": one.version,
        "title": one.title,
        "summary": one.summary,
        "model": one.model,
        "inputs": [field.model_dump(exclude={"placeholder"}) for field in one.inputs],
        "output": {"kind": one.output.kind, "schema": one.output.json_schema},
    }


def _answer(task: Task, work: Work, identity: AnswerIdentity, finished: Finished) -> dict[str, Any]:
    is_json = any(check.name == "schema" and check.passed for check in finished.checks)
    receipt = finished.receipt
    return {
        "object": "task.answer",
        "record_id": work.record_id,
        "task": task.name,
        "version": task.version,
        "output": json.loads(finished.text) if is_json else finished.text,
        "finish_reason": finished.finish_reason,
        "checks": [
            {"name": check.name, "passed": check.passed, "detail": check.detail}
            for check in finished.checks
        ],
        "usage": dict(finished.usage),
        "model": {
            "name": identity.asked,
            "answered_by": identity.model,
            "sha256": identity.model_digest,
            "adapter_sha256": identity.adapter_digest,
        },
        "receipt": {
            "event": receipt.event,
            "index": receipt.index,
            "leaf": receipt.leaf,
            "size": receipt.size,
            "root": receipt.root,
            "checkpoint": receipt.checkpoint,
        },
    }
