"""`cloister audit`: how the log stands."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from appliance.cli import audit_decide as decide
from appliance.cli.audit_export import exported
from appliance.cli.audit_witness import cosign_other, witness
from appliance.cli.common import json_option, open_log, print_json, words
from appliance.settings import Settings
from audit.errors import AuditError
from audit.note import VerifierKey, read_checkpoint
from audit.outside import last_word
from audit.reader import open_rows
from audit.report import Report
from audit.syslog import format_line
from audit.verify import verify_log
from audit.witness import WitnessRequest, make_request

_EXIT_UNREADABLE: Final = 4  # as `cloister-audit verify` has it; 1 to 3 are verdicts


@click.group("audit")
def command() -> None:
    """The log of everything that was asked and answered."""


command.add_command(witness)
command.add_command(cosign_other)


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


@command.command("export")
@click.option("--all", "everything", is_flag=True, help="The blobs of all records.")
@click.option("--since", type=click.DateTime(), help="Blobs of records since this time (UTC).")
@click.option("--until", type=click.DateTime(), help="Blobs of records before this time (UTC).")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder; empty, or of an export."
)
@click.option("--reason", help="Why it is made; officers read it in the log.")
@json_option
def export(
    everything: bool,
    since: datetime | None,
    until: datetime | None,
    out: Path,
    reason: str | None,
    as_json: bool,
) -> None:
    """Write the log, or some of it, into a folder that anybody can check and carry away.

    The folder holds every leaf, the tree, the checkpoints and the grants, and the sealed blobs that
    were asked for. It opens to the officers' keys as the log does. Given again, the same command
    goes on with an export that was broken off. The log has a record before and after.

    \b
    Examples:
      cloister audit export --all --out /media/stick/export
      cloister audit export --since 2026-11-01 --until 2026-12-01 --out november --reason "Case 12"
      cloister-audit verify /media/stick/export --vkey-file commissioning.vkey
    """
    if everything == bool(since or until):
        raise click.UsageError("Give --all, or --since and --until.")
    settings = Settings()
    with open_log(settings) as log:
        done = exported(log, settings.audit, out, since, until, reason)
    if as_json:
        print_json(asdict(done))
        return
    facts = done.facts
    click.echo(
        f"{out}: {done.files} files, {facts.size} records, {facts.end - facts.first} with their "
        f"sealed blobs. SHA256SUMS has the digest {done.digest}"
    )


@command.command("checkpoint")
@click.option("-o", "output", type=click.Path(path_type=Path), help="File for a witness's laptop.")
@click.option("--since", type=click.IntRange(min=0), help="Records that the witness saw last.")
@click.option("--syslog", is_flag=True, help="Print one line for a log host (RFC 5424) instead.")
def checkpoint(output: Path | None, since: int | None, syslog: bool) -> None:
    """Write how the log stands for somebody outside, who makes its end safe from being cut off.

    A witness checks and signs the file on his own machine (`cloister-audit cosign`); bring his
    answer back with `cloister audit witness`. Take a line to a log host as often as you can bear
    to lose records: `cloister doctor` says how many nobody outside has seen.

    \b
    Examples:
      cloister audit checkpoint -o checkpoint.json
      cloister audit checkpoint --syslog | nc -u -q0 loghost 514
    """
    if (output is None) == (not syslog):
        raise click.UsageError("Give -o FILE for a witness, or --syslog for a log host.")
    settings = Settings()
    with open_rows(settings.audit) as rows:
        if output is None:
            size, note = rows.last_checkpoint() or (0, "")
            host = read_checkpoint(note).origin.partition("/")[0]
            click.echo(format_line(note, datetime.now(UTC), host))
            return
        witnessed = last_word(rows)
        known = {0, 0 if witnessed is None else witnessed.size, since or 0}
        text = make_request(rows, known if since is None else {since}).to_json()
        size = read_checkpoint(WitnessRequest.parse(text).checkpoint).size
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(output), str(error.strerror)) from error
    click.echo(
        f"{output}: {size} records. On the witness's machine: cloister-audit cosign {output}"
    )


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


for one in (decide.erase_subject, decide.hold, decide.release, decide.carry_out, decide.ledger):
    command.add_command(one)
