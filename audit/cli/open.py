"""`cloister-audit open`: read records; needs a key of both groups of officers."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

from audit.cli.keys import add_passphrase_argument, officers_keys
from audit.cli.moments import moment
from audit.cli.printing import as_text
from audit.cli.progress import show_progress
from audit.cli.usage import UsageError
from audit.cli.verify import add_log_arguments, trusted_key
from audit.errors import NoMatchingIdentityError, TwoOfficersNeededError
from audit.formats.jsonl import as_json_line
from audit.grants import EpochSecrets
from audit.keyfile import OfficerKey
from audit.opening import (
    ClosedRecord,
    EpochSpan,
    OpenedRecord,
    epoch_secrets,
    epoch_spans,
    log_name,
    open_epoch,
)
from audit.reader import open_records, subject_keys
from audit.report import Report, Verdict
from audit.rows import Records, Row
from audit.verify import verify_log

EXIT_INCOMPLETE: Final = 1
EXIT_KEYS: Final = 5

EPILOG = """\
examples:
  cloister-audit open /var/lib/cloister/audit --key a.key --key b.key
      Verify the log and print every record.

  cloister-audit open LOGDIR --key a.key --key b.key --record 019a2f30-7c1e-7d3a-9f00-5b1c2d3e4f50
      Print one record, by the id on its receipt or by its number.

  cloister-audit open LOGDIR --key a.key --key b.key --since 2026-11-01 --json
      Print what was recorded since a day (UTC), one JSON object a line.

exit status:
  0  all that was asked for is printed
  1  the log was tampered with, or some record did not open
  4  wrong usage, no log there, or no such record
  5  the keys do not suffice: one of each group is needed. Nothing was opened
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_log_arguments(parser)
    parser.add_argument(
        "--key",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="an officer's key; give one of each group",
    )
    add_passphrase_argument(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--record", metavar="ID", help="one record, by event id or number")
    which.add_argument("--since", type=moment, metavar="DATE", help="records since a day or time")
    which.add_argument("--last", type=_count, metavar="N", help="the last N records")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Open and print; returns the exit status."""
    identities = officers_keys(options)
    trusted = trusted_key(options)
    with open_records(options.log) as rows:
        report = verify_log(rows, options.log, trusted=trusted, progress=show_progress("verified"))
        print("\n".join(report.summary()), file=sys.stderr)
        try:
            selection = _selection(options, rows, report)
            return _print_records(options, rows, report, identities, selection)
        except (TwoOfficersNeededError, NoMatchingIdentityError) as error:
            print(f"cloister-audit open: {error} Nothing was opened.", file=sys.stderr)
            return EXIT_KEYS
        except sqlite3.Error as error:
            print(f"cloister-audit open: the database is damaged: {error}", file=sys.stderr)
            return EXIT_INCOMPLETE


def _print_records(
    options: argparse.Namespace,
    rows: Records,
    report: Report,
    identities: list[OfficerKey],
    selection: range,
) -> int:
    spans = [
        span
        for span in epoch_spans(report.openings, report.records)
        if span.start < selection.stop and selection.start < span.end
    ]
    secrets, shut = epoch_secrets(spans, identities)
    complete = report.verdict is Verdict.INTACT and not shut
    for record in _opened(options, rows, report, spans, secrets, selection):
        if isinstance(record, ClosedRecord):
            complete = False
            print(f"record {record.index} does not open: {record.reason}", file=sys.stderr)
        elif options.since is None or record.leaf.wall_ns >= options.since:
            print(as_json_line(record) if options.json else as_text(record))
    for number, error in shut.items():
        print(f"epoch {number} stays shut: {error}", file=sys.stderr)
    return 0 if complete else EXIT_INCOMPLETE


def _opened(
    options: argparse.Namespace,
    rows: Records,
    report: Report,
    spans: list[EpochSpan],
    secrets: dict[int, EpochSecrets],
    selection: range,
) -> Iterator[OpenedRecord | ClosedRecord]:
    def wanted(row: Row) -> bool:
        return row.index in selection

    subjects = subject_keys(rows, options.log, report.erased)
    for span in spans:
        if span.number in secrets:
            log = log_name(report.openings[0][2])
            yield from open_epoch(rows, span, secrets[span.number], log, wanted, subjects)


def _selection(options: argparse.Namespace, rows: Records, report: Report) -> range:
    """The records that are asked for, before the time is looked at."""
    if options.record is not None:
        index = _find(rows, options.record)
        if index is None or index >= report.records:
            raise UsageError(f"The log has no record {options.record}.")
        return range(index, index + 1)
    if options.last is not None:
        return range(max(0, report.records - options.last), report.records)
    return range(report.records)


def _find(rows: Records, name: str) -> int | None:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return rows.index_of(UUID(name).bytes)
    except ValueError as error:
        raise UsageError(f"{name} is neither an event id nor a record's number.") from error


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("it must be a whole number, at least 1")
    return int(text)
