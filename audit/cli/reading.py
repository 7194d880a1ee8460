"""What `convert` and `report` have in common: a verified log, opened as far as the keys reach."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from audit.cli.keys import add_passphrase_argument, officers_keys
from audit.cli.moments import moment
from audit.cli.open import EXIT_INCOMPLETE, EXIT_KEYS
from audit.cli.progress import show_progress
from audit.cli.usage import UsageError
from audit.cli.verify import add_log_arguments, add_outside_arguments, trusted_key
from audit.errors import AuditError, NoMatchingIdentityError, TwoOfficersNeededError
from audit.formats.choose import Choice, chosen_records
from audit.known import parse_witness
from audit.opening import ClosedRecord, OpenedRecord, epoch_secrets, epoch_spans
from audit.reader import open_records, subject_keys
from audit.report import Report, Verdict
from audit.rows import Records
from audit.verify import verify_log

_SHOWN: Final = 10  # records that do not open and are named


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which log, which keys, which time, and what was seen outside."""
    add_log_arguments(parser)
    add_outside_arguments(parser)
    parser.add_argument(
        "--key", type=Path, action="append", required=True, metavar="FILE",
        help="an officer's key; contents need one of each group",
    )  # fmt: skip
    add_passphrase_argument(parser)
    parser.add_argument("--since", type=moment, metavar="DATE", help="records since a day or time")
    parser.add_argument("--until", type=moment, metavar="DATE", help="records before a day or time")


@dataclass(slots=True)
class Reading:
    """A verified log that is being read.

    Attributes:
        report: of the verification.
        records: what opens of what was asked for, in order; to be read once.
        shut: epochs that stay shut, and why.
        closed: the first records that did not open.
        closed_count: how many did not, as far as was read.
        count: records that did.
    """

    report: Report
    records: Iterator[OpenedRecord]
    shut: dict[int, AuditError]
    closed: list[ClosedRecord] = field(default_factory=list)
    closed_count: int = 0
    count: int = 0

    def status(self) -> int:
        """Say what did not open; returns the exit status."""
        for record in self.closed:
            print(f"record {record.index} does not open: {record.reason}", file=sys.stderr)
        if self.closed_count > len(self.closed):
            more = self.closed_count - len(self.closed)
            print(f"… and {more} records more do not open.", file=sys.stderr)
        for number, error in self.shut.items():
            print(f"epoch {number} stays shut: {error}", file=sys.stderr)
        complete = self.report.verdict is Verdict.INTACT and not self.shut and not self.closed
        return 0 if complete else EXIT_INCOMPLETE


def read_log(
    options: argparse.Namespace, choice: Choice, verb: str, use: Callable[[Reading], int]
) -> int:
    """Verify, open and use a log; returns the exit status.

    Args:
        options: of `add_reading_arguments`.
        choice: what is asked for.
        verb: what is done to the records, as a participle.
        use: what to do with them; returns the exit status.
    """
    keys = officers_keys(options)
    with open_records(options.log) as rows:
        report = _verified(options, rows)
        print("\n".join(report.summary()), file=sys.stderr)
        spans = epoch_spans(report.openings, report.records)
        try:
            secrets, shut = epoch_secrets(spans, keys, contents=choice.contents)
            subjects = subject_keys(rows, options.log, report.erased)
            found = chosen_records(rows, spans, secrets, choice, show_progress(verb), subjects)
            return use(_reading(report, found, shut))
        except (TwoOfficersNeededError, NoMatchingIdentityError) as error:
            print(f"cloister-audit: {error} Nothing was written.", file=sys.stderr)
            return EXIT_KEYS
        except sqlite3.Error as error:
            print(f"cloister-audit: the database is damaged: {error}", file=sys.stderr)
            return EXIT_INCOMPLETE


def _verified(options: argparse.Namespace, rows: Records) -> Report:
    trusted = trusted_key(options)
    witnesses = [parse_witness(vkey) for vkey in options.witness]
    try:
        return verify_log(
            rows,
            options.log,
            trusted=trusted,
            seen=options.seen,
            witnesses=witnesses,
            progress=show_progress("verified"),
        )
    except OSError as error:
        raise UsageError(f"{error.filename} can not be read: {error.strerror}.") from error


def _reading(
    report: Report,
    found: Iterator[OpenedRecord | ClosedRecord],
    shut: dict[int, AuditError],
) -> Reading:
    def records() -> Iterator[OpenedRecord]:
        for record in found:
            if isinstance(record, ClosedRecord):
                reading.closed_count += 1
                if len(reading.closed) < _SHOWN:
                    reading.closed.append(record)
            else:
                reading.count += 1
                yield record

    reading = Reading(report, records(), shut)
    return reading


@contextmanager
def output(path: Path | None) -> Iterator[BinaryIO]:
    """Where it goes: a file that only its owner reads, there as a whole or not at all.

    Args:
        path: the file, None for standard output.

    Raises:
        UsageError: if it exists, or can not be written.
    """
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
