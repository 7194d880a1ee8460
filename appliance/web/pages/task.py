"""The page of a task, made from its declaration: the form, the run, the stop, the download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response, make_response, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from appliance.tasks.errors import TaskInputError, UnknownTaskError
from appliance.tasks.task import Task
from appliance.tasks.work import Source, Work
from appliance.web import state
from appliance.web.access import signed_in
from appliance.web.client import address
from appliance.web.errors import Problem
from appliance.web.errors import show as show_problem
from appliance.web.guard import refuse, wants_events
from appliance.web.pages.answer import pretty
from appliance.web.pages.answering import Run, streamed, whole
from appliance.web.services import services
from appliance.web.session import account

blueprint = Blueprint("task", __name__)
_PREFIX: Final = "input-"


@dataclass(frozen=True)
class FormField:
    """One field of the form with what stands in it and what is wrong with it."""

    id: str
    name: str
    label: str
    max_chars: int
    required: bool
    placeholder: str
    has_example: bool
    value: str = ""
    error: str = ""


@blueprint.get("/tasks/<name>")
@signed_in
def show(name: str) -> str:
    """The form; with `?example=1` it holds the examples of the task's declaration."""
    task = _task(name)
    examples = {field.name: field.example for field in task.inputs}
    return _page(task, _fields(task, examples if "example" in request.args else {}))


@blueprint.post("/tasks/<name>")
@signed_in
def run(name: str) -> Response:
    """Run the task: as a stream of events where our module asks, else as a whole page."""
    task = _task(name)
    inputs = _inputs(task)
    try:
        work = Work.for_task(
            task, inputs, actor=account().name, source=Source.WEB, address=address()
        )
    except TaskInputError as error:
        return _wrong_input(task, inputs, error)
    job = Run(task, work, account().id)
    if wants_events():
        return streamed(job)
    # The fragment comes from our own template, which has escaped what is in it.
    shown = Markup(whole(job))  # noqa: S704
    response = make_response(_page(task, _fields(task, inputs), shown))
    response.headers["X-Record-Id"] = work.record_id
    return response


@blueprint.post("/requests/<record_id>/stop")
@signed_in
def stop(record_id: str) -> Response:
    """Stop a request of one's own; its stream then ends with what there is and a receipt."""
    if not services().receipts.owns(record_id, account().id):
        raise NotFound
    if not services().pipeline.cancel(record_id):
        raise NotFound
    return Response(status=204)


@blueprint.post("/tasks/<name>/answer")
@signed_in
def save(name: str) -> Response:
    """Give the answer on the page back as a file: the server keeps none that it could give."""
    task = _task(name)
    text = request.form.get("answer", "").replace("\r\n", "\n")
    as_json = task.output.kind == "json"
    kind, ending = ("application/json", "json") if as_json else ("text/plain", "txt")
    response = Response(pretty(text) + "\n" if as_json else text, mimetype=kind)
    file = f"{task.name}-{_record_of_form()}.{ending}"
    response.headers["Content-Disposition"] = f'attachment; filename="{file}"'
    return response


def _task(name: str) -> Task:
    try:
        task = services().tasks.get(name)
    except UnknownTaskError:
        raise NotFound from None
    if task not in services().tasks.visible_to(account().roles):
        refuse(request.path)
    return task


def _inputs(task: Task) -> dict[str, str]:
    # Forms send line ends as CR LF; the task's limit and the model count what was typed.
    given = ((field.name, request.form.get(_PREFIX + field.name, "")) for field in task.inputs)
    return {name: text.replace("\r\n", "\n") for name, text in given}


def _fields(
    task: Task, values: Mapping[str, str], wrong: TaskInputError | None = None
) -> list[FormField]:
    return [
        FormField(
            id=_PREFIX + field.name,
            name=_PREFIX + field.name,
            label=field.label,
            max_chars=field.max_chars,
            required=field.required,
            placeholder=field.placeholder,
            has_example=bool(field.example),
            value=values.get(field.name, ""),
            error=_error_of(field.name, field.label, field.max_chars, wrong),
        )
        for field in task.inputs
    ]


def _error_of(name: str, label: str, limit: int, wrong: TaskInputError | None) -> str:
    if wrong is None or wrong.field not in {f"inputs.{name}", "inputs"}:
        return ""
    return f"{label} has to have between 1 and {limit:,} characters."


def _wrong_input(task: Task, inputs: Mapping[str, str], error: TaskInputError) -> Response:
    fields = _fields(task, inputs, error)
    if not wants_events():
        return make_response(_page(task, fields), 400)
    message = next((field.error for field in fields if field.error), str(error))
    return show_problem(
        Problem(400, "The text can not be run", message, "Change it and run the task again.")
    )


def _page(task: Task, fields: list[FormField], shown: Markup | None = None) -> str:
    return render_template(
        "pages/task.html",
        task=task,
        fields=fields,
        shown=shown,
        service=state.of_service(task.model),
        notices=state.notices({task.model}),
    )


def _record_of_form() -> str:
    record = request.form.get("record", "")
    return record if services().receipts.owns(record, account().id) else "answer"
