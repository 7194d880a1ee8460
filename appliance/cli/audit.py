"""`cloister audit`: how the log stands."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import click

from appliance.cli.common import json_option, open_log, print_json, words
from appliance.settings import Settings
from audit.errors import AuditError
from audit.note import VerifierKey
from audit.reader import open_rows
from audit.report import Report
from audit.verify import verify_log

_EXIT_UNREADABLE: Final = 4  # as `cloister-audit verify` has it; 1 to 3 are verdicts


@click.group("audit")
def command() -> None:
    """The log of everything that was asked and answered."""


@command.command("status")
@json_option
def status(as_json: bool) -> None:
    """Say how the log stands, as its writer sees it.

    \b
    Examples:
      cloister audit status
      cloister audit status --json
    """
    with open_log(Settings()) as log:
        found = asdict(log.status())
    if as_json:
        print_json(found)
        return
    width = max(len(name) for name in found)
    for name, value in found.items():
        lines = words(value).splitlines() or ["-"]
        click.echo(f"{name.replace('_', ' '):<{width}}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{'':<{width}}  {line}")


@command.command("verify")
@json_option
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Check every record, checkpoint and grant, against the head and the key of the first start.

    An officer checks the same without this machine's word for anything: `cloister-audit verify`.
    Both end with 0 intact, 1 tampered, 2 tail not covered by a checkpoint, 4 no log to read.

    \b
    Examples:
      cloister audit verify
      cloister audit verify --json
    """
    settings = Settings()
    try:
        report = _verified(settings)
    except (AuditError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        context.exit(_EXIT_UNREADABLE)
    if as_json:
        print_json(report.to_json())
    else:
        click.echo("\n".join(report.lines()))
    context.exit(int(report.verdict))


def _verified(settings: Settings) -> Report:
    """The report on the whole log.

    Raises:
        AuditError: there is no log, or the kept key is none.
        OSError: the head can not be read.
    """
    trusted = None
    if settings.log_vkey.exists():
        trusted = VerifierKey.parse(settings.log_vkey.read_text(encoding="utf-8"))
    with open_rows(settings.audit) as rows:
        return verify_log(rows, settings.audit, trusted=trusted, head=settings.head_log)
