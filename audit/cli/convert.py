"""`cloister-audit convert`: write records in a form that another program reads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from audit.age import AgeWriter
from audit.agekeys import parse_recipient
from audit.cli.reading import Reading, add_reading_arguments, output, read_log
from audit.cli.usage import UsageError
from audit.formats.choose import Choice
from audit.formats.convert import FORMS
from audit.leaf import LeafType
from audit.stanza import Recipient
from audit.window import Window

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
    add_reading_arguments(parser)
    parser.add_argument("--to", choices=FORMS, required=True, help="the form")
    parser.add_argument(
        "--contents", action="store_true", help="names and contents too, not metadata alone"
    )
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
    window = Window(options.since, options.until, frozenset(options.type))
    choice = Choice(window, options.contents)

    def write(reading: Reading) -> int:
        with output(options.output) as file:
            _write(file, recipients, form.pieces(reading.report.origin, reading.records))
        if options.output is not None:
            print(f"{options.output} written: {reading.count} records.", file=sys.stderr)
        return reading.status()

    return read_log(options, choice, "converted", write)


def _write(file: BinaryIO, recipients: list[Recipient], pieces: Iterable[bytes]) -> None:
    if not recipients:
        file.writelines(pieces)
        return
    sealed = AgeWriter(file, recipients)
    for piece in pieces:
        sealed.write(piece)
    sealed.finish()
