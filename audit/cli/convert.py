"""`cloister-audit convert`: write records in a form that another program reads."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from audit.age import AgeWriter
from audit.agekeys import parse_recipient
from audit.cli.keys import add_passphrase_argument, officers_keys
from audit.cli.moments import moment
from audit.cli.open import EXIT_INCOMPLETE, EXIT_KEYS
from audit.cli.progress import show_progress
from audit.cli.usage import UsageError
from audit.cli.verify import add_log_arguments, trusted_key
from audit.errors import NoMatchingIdentityError, TwoOfficersNeededError
from audit.formats.choose import Choice, chosen_records
from audit.formats.convert import FORMS
from audit.keyfile import OfficerKey
from audit.leaf import LeafType
from audit.opening import ClosedRecord, OpenedRecord, epoch_secrets, epoch_spans
from audit.reader import open_records
from audit.report import Report, Verdict
from audit.rows import Records
from audit.stanza import Recipient
from audit.verify import verify_log

EPILOG = """\
examples:
  cloister-audit convert export --key a.key --to csv -o november.csv
      A table for a spreadsheet: metadata of every record, people as tokens.

  cloister-audit convert export --key a.key --to ocsf --since 2026-11-01 -o november.ocsf.jsonl
      For a SIEM. Likewise --to cef and --to syslog; these two never hold a word of a content.

  cloister-audit convert export --key a.key --key b.key --contents --to jsonl \\
      --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p -o case.jsonl.age
      Names, prompts and answers, sealed again to who asked for them. He opens the file with
      age -d -i his.key case.jsonl.age

forms (--to):
  jsonl    all that a record says, one object a line
  csv      a table; cells that a spreadsheet would take for formulas are guarded
  ocsf     OCSF 1.8 API Activity (6003) with the profile ai_operation, one object a line
  cef      ArcSight Common Event Format; metadata only
  syslog   RFC 5424 with structured data; metadata only
  fhir-r4  Bundle of FHIR R4 AuditEvent
  fhir-r5  Bundle of FHIR R5 AuditEvent

The same records give the same bytes; sealed to a recipient, the same bytes under another key.

exit status:
  0  all that was asked for is written
  1  the log was tampered with, or some record did not open; what opened is written
  4  wrong usage, or no log there
  5  the keys do not suffice. Nothing was written
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_log_arguments(parser)
    parser.add_argument(
        "--key", type=Path, action="append", required=True, metavar="FILE",
        help="an officer's key; with --contents, one of each group",
    )  # fmt: skip
    add_passphrase_argument(parser)
    parser.add_argument("--to", choices=FORMS, required=True, help="the form")
    parser.add_argument(
        "--contents", action="store_true", help="names and contents too, not metadata alone"
    )
    parser.add_argument("--since", type=moment, metavar="DATE", help="records since a day or time")
    parser.add_argument("--until", type=moment, metavar="DATE", help="records before a day or time")
    parser.add_argument(
        "--type", action="append", default=[], choices=[kind.label for kind in LeafType],
        help="kind of record; can be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--recipient", action="append", default=[], metavar="AGE1…",
        help="seal the file to this age recipient; can be given several times",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: standard output"
    )


def run(options: argparse.Namespace) -> int:
    """Convert; returns the exit status."""
    form = FORMS[options.to]
    if options.contents and not form.contents:
        raise UsageError(
            f"{form.title} goes to log hosts, so it holds metadata only. Leave --contents out, "
            "or give another form, for example --to jsonl."
        )
    recipients = [parse_recipient(text) for text in options.recipient]
    keys, trusted = officers_keys(options), trusted_key(options)
    with open_records(options.log) as rows:
        report = verify_log(rows, options.log, trusted=trusted, progress=show_progress("verified"))
        print("\n".join(report.summary()), file=sys.stderr)
        try:
            return _convert(options, recipients, rows, report, keys)
        except (TwoOfficersNeededError, NoMatchingIdentityError) as error:
            print(f"cloister-audit convert: {error} Nothing was written.", file=sys.stderr)
            return EXIT_KEYS
        except sqlite3.Error as error:
            print(f"cloister-audit convert: the database is damaged: {error}", file=sys.stderr)
            return EXIT_INCOMPLETE


def _convert(
    options: argparse.Namespace,
    recipients: list[Recipient],
    rows: Records,
    report: Report,
    keys: list[OfficerKey],
) -> int:
    spans = epoch_spans(report.openings, report.records)
    secrets, shut = epoch_secrets(spans, keys, contents=options.contents)
    choice = Choice(options.since, options.until, frozenset(options.type), options.contents)
    closed: list[ClosedRecord] = []
    written = 0

    def opened() -> Iterator[OpenedRecord]:
        nonlocal written
        for record in records:
            if isinstance(record, ClosedRecord):
                closed.append(record)
            else:
                written += 1
                yield record

    records = chosen_records(rows, spans, secrets, choice, show_progress("converted"))
    with _output(options.output) as file:
        _write(file, recipients, FORMS[options.to].pieces(report.origin, opened()))
    if options.output is not None:
        print(f"{options.output} written: {written} records.", file=sys.stderr)
    for record in closed:
        print(f"record {record.index} does not open: {record.reason}", file=sys.stderr)
    for number, error in shut.items():
        print(f"epoch {number} stays shut: {error}", file=sys.stderr)
    complete = report.verdict is Verdict.INTACT and not shut and not closed
    return 0 if complete else EXIT_INCOMPLETE


def _write(file: BinaryIO, recipients: list[Recipient], pieces: Iterable[bytes]) -> None:
    if not recipients:
        file.writelines(pieces)
        return
    sealed = AgeWriter(file, recipients)
    for piece in pieces:
        sealed.write(piece)
    sealed.finish()


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    """Where it goes: a file that only its owner reads, there as a whole or not at all."""
    if path is None:
        yield sys.stdout.buffer
        return
    if path.exists():
        raise UsageError(f"{path} exists. Choose another name, or move it away.")
    part = path.with_name(path.name + ".part")
    try:
        fd = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} can not be written: {error.strerror}.") from error
