"""`cloister-audit report`: write a readable report, with charts, as HTML or PDF."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from audit.cli.reading import Reading, add_reading_arguments, output, read_log
from audit.cli.usage import UsageError
from audit.formats.choose import Choice
from audit.reporting.document import report_blocks
from audit.reporting.html import html_report
from audit.reporting.pdf import can_write_pdf, pdf_report
from audit.reporting.tally import tally
from audit.window import Window

TITLE: Final = "Audit report"

EPILOG = """\
examples:
  cloister-audit report november --key a.key -o november.html
      Verdict, records a day, tasks, models, outcomes, who looked at the log, faults, and how many
      records no outsider has seen yet. Any browser shows it and prints it on A4.

  cloister-audit report november --key a.key -o november.pdf
      The same as PDF. Needs the Python package reportlab: python3 -m pip install reportlab

  cloister-audit report november --key a.key --seen cosigned.note --witness "$(cat laptop.vkey)" \\
      -o november.html
      Counts as seen outside what that witness signed, and says so if the log was rolled back.

  cloister-audit report LOGDIR --key a.key --since 2026-10-01 --until 2027-01-01 -o quarter.html

One officer's key suffices: the report is made of metadata, people stand in it as tokens. The same
records give the same bytes.

exit status:
  0  written
  1  the log was tampered with, or some record did not open; the report says so
  4  wrong usage, or no log there
  5  the key opens no metadata. Nothing was written
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_reading_arguments(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="a name in .html or .pdf"
    )


def run(options: argparse.Namespace) -> int:
    """Write the report; returns the exit status."""
    suffix = options.output.suffix.lower()
    if suffix not in (".html", ".pdf"):
        raise UsageError("The report is written as HTML or PDF: end the name in .html or .pdf.")
    if suffix == ".pdf" and not can_write_pdf():
        raise UsageError(
            "PDF needs the Python package reportlab, which is not here. Install it: python3 -m pip "
            f"install reportlab. Or write {options.output.with_suffix('.html').name}, which needs "
            "nothing, and print that as PDF from a browser."
        )

    def write(reading: Reading) -> int:
        counted = tally(reading.report.origin, reading.records)
        blocks = report_blocks(reading.report, counted)
        origin = reading.report.origin
        with output(options.output) as file:
            if suffix == ".pdf":
                file.write(pdf_report(TITLE, origin, blocks))
            else:
                file.write(html_report(TITLE, origin, blocks).encode())
        print(f"{options.output} written: {reading.count} records.", file=sys.stderr)
        return reading.status()

    return read_log(options, Choice(Window(options.since, options.until)), "counted", write)
