"""`cloister task`: work that a model does, by the same way as from the pages."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from appliance.cli.common import actor, json_option, open_log, print_json, print_list, words
from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from appliance.settings import Settings
from appliance.tasks import Task, TaskLibrary
from appliance.tasks.errors import TaskInputError
from appliance.tasks.pipeline import Pipeline
from appliance.tasks.subject import clean_subject
from appliance.tasks.work import Began, Delta, Event, Failed, Finished, Source, Work

_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path)


@click.group("task")
def command() -> None:
    """Tasks: declared work for a model, each run with a receipt."""


@command.command("list")
@json_option
def list_tasks(as_json: bool) -> None:
    """List all tasks.

    \b
    Examples:
      cloister task list
      cloister task list --json
    """
    rows = [_row(task) for task in TaskLibrary.load()]
    print_list(
        rows, dict.fromkeys(["name", "version", "title", "model", "inputs"], words), as_json=as_json
    )


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one task: what goes in, what comes out, what the model is told.

    \b
    Example:
      cloister task show triage
    """
    task = TaskLibrary.load().get(name)
    if as_json:
        print_json(task.model_dump(mode="json", by_alias=True, exclude_none=True))
        return
    click.echo(f"{task.name} (version {task.version}): {task.title}\n{task.summary}")
    click.echo(f"\nModel: {task.model}    Answer: {task.output.kind}\nInputs:")
    for one in task.inputs:
        need = "required" if one.required else "optional"
        click.echo(f"  {one.name}: {one.label} ({need}, at most {one.max_chars} characters)")
    click.echo(f"\nThe model is told:\n{task.prompt.system}\n{task.prompt.user}")


@command.command("run")
@click.argument("name")
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--input", "pairs", multiple=True, metavar="NAME=TEXT", help="An input by its name.")
@click.option("--subject", help="Person or case that it is about; its contents can be erased.")
@json_option
def run(
    name: str, files: tuple[Path, ...], pairs: tuple[str, ...], subject: str | None, as_json: bool
) -> None:
    """Run a task; files fill its inputs in order, `-` is standard input.

    The answer streams to standard output; the receipt goes to standard error. Where the answer
    fails, so does the command: what has been printed till then is no answer.

    \b
    Examples:
      cloister task run deidentify letter.txt
      cat message.txt | cloister task run triage -
      cloister task run extract order.txt --json
      cloister task run triage message.txt --subject "case 2026-118"
    """
    settings = Settings()
    task = TaskLibrary.load().get(name)
    inputs = _inputs(task, files, pairs)
    about = clean_subject(subject, "--subject")
    work = Work.for_task(task, inputs, actor=actor(), source=Source.CLI, subject=about)
    with (
        open_log(settings) as log,
        EngineClient(settings.engine_socket) as engine,
        # Closed also at Ctrl-C: that cancels at the engine and records the answer so far.
        closing(Pipeline(engine, log, settings.audit_grade).run(work)) as events,
    ):
        began, finished = _follow(events, stream=not as_json)
    if as_json:
        print_json(_result(work, began, finished))
        return
    receipt = finished.receipt
    failed = [check.name for check in finished.checks if not check.passed]
    checks = f"  checks failed: {', '.join(failed)}" if failed else ""
    click.echo(f"record {work.record_id}  leaf {receipt.index} of {receipt.size}{checks}", err=True)


def _inputs(task: Task, files: Iterable[Path], pairs: Iterable[str]) -> dict[str, str]:
    free = [one.name for one in task.inputs]
    inputs: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--input {pair!r} must look like NAME=TEXT.")
        inputs[name] = text
        free = [one for one in free if one != name]
    for file in files:
        if not free:
            raise click.UsageError(
                f"Task {task.name!r} has {len(task.inputs)} inputs; {file} is one file too many."
            )
        inputs[free.pop(0)] = _read(file)
    return inputs


def _read(file: Path) -> str:
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise TaskInputError(
            str(file), f"{file} is no text in UTF-8. Save it as plain text, then run again."
        ) from None


def _follow(events: Iterable[Event], *, stream: bool) -> tuple[Began, Finished]:
    """Print the pieces as they come; return beginning and end, or raise what went wrong."""
    printed = False
    began: Began | None = None
    for event in events:
        match event:
            case Delta(text=text) if stream and text:
                click.echo(text, nl=False)
                printed = True
            case Finished() if began is not None:
                if printed:
                    click.echo()
                return began, event
            case Failed():
                if printed:
                    click.echo()
                raise EngineError(
                    event.status, event.code, event.message, event.param, event.retry_after
                )
            case Began():
                began = event
            case _:
                pass
    raise EngineError(500, "no_answer", "The answer ended before it was finished; run it again.")


def _result(work: Work, began: Began, finished: Finished) -> Mapping[str, Any]:
    return {
        "record": work.record_id,
        "model": work.model,
        "answered_by": began.identity.model,
        "model_digest": began.identity.model_digest,
        "adapter_digest": began.identity.adapter_digest,
        "answer": finished.text,
        "finish_reason": finished.finish_reason,
        "usage": finished.usage,
        "checks": [asdict(check) for check in finished.checks],
        "receipt": asdict(finished.receipt),
    }


def _row(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "version": task.version,
        "title": task.title,
        "summary": task.summary,
        "model": task.model,
        "inputs": [one.name for one in task.inputs],
        "answer": task.output.kind,
    }
