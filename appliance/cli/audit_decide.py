"""What two officers decide: erasing a subject, a legal hold, its release; and the ledger of it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from appliance.cli.common import json_option, open_log, print_json, print_list, words
from appliance.settings import Settings
from appliance.tasks.subject import clean_subject
from audit.approval import (
    EVERYTHING,
    GROUNDS,
    MATTER,
    VALID_DAYS,
    Action,
    Request,
    make_request,
)
from audit.decisions import Entry, Ledger
from audit.reader import open_rows

_SHORT = 12  # hexadecimal digits of a subject's id in a table

_out = click.option(
    "-o",
    "output",
    required=True,
    type=click.Path(path_type=Path),
    help="File to carry to both officers.",
)


@click.command("erase-subject")
@click.argument("subject")
@click.option("--ground", required=True, type=click.Choice(list(GROUNDS)), help="Why, for the log.")
@_out
def erase_subject(subject: str, ground: str, output: Path) -> None:
    """Ask two officers to erase the contents of all records about a person or case.

    SUBJECT is the name that requests were made with; `-` reads it from standard input, so that it
    stands in no list of processes. Nothing happens before both have signed the file
    (`cloister-audit approve`) and it was brought back: `cloister audit carry-out`.

    Erased contents are gone for everybody, from back-ups of keys.db too. Leaves, proofs and
    metadata stay. Exports that were made before keep what they hold: find them with
    `cloister-audit search LOGDIR --key FILE --event audit:export:finished`.

    \b
    Examples:
      cloister audit erase-subject "case 2026-118" --ground objection -o request.json
      cloister audit erase-subject - --ground consent-withdrawn -o request.json < name.txt
    """
    _ask(Action.ERASE, _named(subject), ground, output, is_subject=True)


@click.command("hold")
@click.argument("subject", required=False)
@click.option("--everything", is_flag=True, help="The whole log instead of one subject.")
@click.option("--matter", required=True, help="Number of the matter: letters, digits, . _ / -")
@_out
def hold(subject: str | None, everything: bool, matter: str, output: Path) -> None:
    """Ask two officers to put a person, a case or the whole log on legal hold.

    What is on hold is neither erased nor pruned until two officers release the matter.

    \b
    Examples:
      cloister audit hold "case 2026-118" --matter LH-2026-7 -o request.json
      cloister audit hold --everything --matter LH-2026-8 -o request.json
    """
    if everything == (subject is not None):
        raise click.UsageError("Give a SUBJECT, or --everything.")
    about = EVERYTHING if subject is None else _named(subject)
    _ask(Action.HOLD, about, matter, output, is_subject=subject is not None)


@click.command("release")
@click.argument("matter")
@_out
def release(matter: str, output: Path) -> None:
    """Ask two officers to release all holds of a matter.

    \b
    Examples:
      cloister audit release LH-2026-7 -o request.json
    """
    _ask(Action.RELEASE, MATTER, matter, output, is_subject=False)


@click.command("carry-out")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@json_option
def carry_out(files: tuple[Path, ...], as_json: bool) -> None:
    """Carry out what an officer of each group has signed; give all copies of one request.

    \b
    Examples:
      cloister audit carry-out request.json
      cloister audit carry-out from-a.json from-b.json
    """
    first, *others = [_read(file) for file in files]
    for other in others:
        first = first.joined(other)
    with open_log(Settings()) as log:
        record = log.decide(first.note, first.subject, first.salt)
    if as_json:
        print_json({"action": first.statement.action.value, "record": record})
        return
    done = {Action.ERASE: "Erased", Action.HOLD: "On hold", Action.RELEASE: "Released"}
    names = "; destroy the file, it names the subject" if first.subject else ""
    click.echo(f"{done[first.statement.action]}: record {record}{names}.")


@click.command("ledger")
@json_option
def ledger(as_json: bool) -> None:
    """List what officers decided: erasures, holds, releases. No person is named in it.

    \b
    Examples:
      cloister audit ledger
      cloister audit ledger --json
    """
    with open_rows(Settings().audit) as rows:
        found = Ledger.read(rows)
    columns = ["record", "time", "action", "subject", "ground", "in_force"]
    listed = [_row(entry, found, short=not as_json) for entry in found.entries]
    print_list(listed, dict.fromkeys(columns, words), as_json=as_json)


def _row(entry: Entry, found: Ledger, *, short: bool) -> dict[str, Any]:
    decision, statement = entry.decision, entry.decision.statement
    subject = decision.subject.hex() if decision.subject else statement.about
    held = found.holds.get(decision.subject, {}).get(statement.ground) == entry.index
    return {
        "record": entry.index,
        "time": datetime.fromtimestamp(entry.wall_ns // 1_000_000_000, UTC),
        "action": statement.action.value,
        "subject": subject[:_SHORT] if short else subject,
        "ground": statement.ground,
        "in_force": ("yes" if held else "no") if statement.action is Action.HOLD else None,
        "request": str(statement.request),
    }


def _named(text: str) -> str:
    """The subject's name in the form that requests have it, from standard input for `-`."""
    name = clean_subject(sys.stdin.readline() if text == "-" else text)
    if name is None:
        raise click.UsageError("SUBJECT is empty. Give the name that requests were made with.")
    return name


def _ask(action: Action, about: str, ground: str, output: Path, *, is_subject: bool) -> None:
    origin = f"{Settings().appliance_id}/audit"
    now = datetime.now(UTC)
    request = make_request(origin, action, about, ground, subject=is_subject, now=now)
    try:
        output.touch(mode=0o600, exist_ok=False)
        output.write_text(request.to_json(), encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(output), str(error.strerror)) from error
    click.echo(
        f"{output}: a request to {action}. Within {VALID_DAYS} days an officer of each group signs "
        f"it on his own machine:\n  cloister-audit approve {output} --key FILE\n"
        f"Then, here:\n  cloister audit carry-out {output}"
    )


def _read(file: Path) -> Request:
    try:
        return Request.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise click.FileError(str(file), str(error)) from error
