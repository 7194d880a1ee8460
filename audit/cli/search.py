"""`cloister-audit search`: find records by their metadata; any one officer's key does."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from audit.cli.keys import add_passphrase_argument, officers_keys
from audit.cli.moments import moment
from audit.cli.open import EXIT_INCOMPLETE, EXIT_KEYS
from audit.cli.printing import as_text
from audit.cli.progress import show_progress
from audit.cli.usage import UsageError
from audit.cli.verify import add_log_arguments, trusted_key
from audit.errors import NoMatchingIdentityError
from audit.formats.jsonl import as_json_line
from audit.grants import EpochSecrets
from audit.leaf import Leaf, LeafType
from audit.opening import (
    ClosedRecord,
    EpochSpan,
    OpenedRecord,
    epoch_secrets,
    epoch_spans,
    log_name,
    open_epoch,
)
from audit.reader import open_records
from audit.report import Report, Verdict
from audit.rows import Records, Row
from audit.search import FIELDS, Query, find, make_query
from audit.verify import verify_log
from audit.window import Window

EPILOG = """\
examples:
  cloister-audit search /var/lib/cloister/audit --key a.key --task triage --since 2026-11-01
      Print the metadata of what was asked of a task. Names and contents stay sealed.

  cloister-audit search LOGDIR --key a.key --actor m.keller --json
      The records of one person, one JSON object a line.

  cloister-audit search LOGDIR --key a.key --subject case-12 --write-query case-12.json
  cloister-audit search LOGDIR --query case-12.json
      Find blindly: who holds the query sees which records there are, but not what they say.

exit status:
  0  all that was found is printed
  1  the log was tampered with, or some record did not open
  4  wrong usage, or no log there
  5  the key opens no metadata. Nothing was opened
"""

_FLAGS: Final = {field: f"--{field.replace('_', '-')}" for field in FIELDS}
_HELP: Final = {
    "actor": "who did it",
    "subject": "person or case that it is about",
    "task": "task",
    "model": "model, as it was asked for",
    "model_digest": "SHA-256 of the weights that answered",
    "outcome": "answered, cancelled or error:<code>",
    "source": "web, api or cli",
    "event": "what happened, for example identity:session:opened",
    "begin": "the answer to this prompt, by the prompt's event id",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_log_arguments(parser)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--key", type=Path, action="append", metavar="FILE", help="an officer's key, of any group"
    )
    add_passphrase_argument(parser)
    how.add_argument("--query", type=Path, metavar="FILE", help="find blindly what it asks for")
    parser.add_argument(
        "--write-query", type=Path, metavar="FILE", help="write the query instead of searching"
    )
    for field in FIELDS:
        parser.add_argument(_FLAGS[field], dest=field, metavar="TEXT", help=_HELP[field])
    parser.add_argument("--type", choices=[kind.label for kind in LeafType], help="kind of record")
    parser.add_argument("--since", type=moment, metavar="DATE", help="records since a day or time")
    parser.add_argument("--until", type=moment, metavar="DATE", help="records before a day or time")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Search and print; returns the exit status."""
    terms = {field: value for field in FIELDS if (value := getattr(options, field)) is not None}
    if options.query is not None and (terms or options.write_query is not None):
        raise UsageError("A query says itself what it looks for; give --key to make another.")
    with open_records(options.log) as rows:
        report = verify_log(
            rows, options.log, trusted=trusted_key(options), progress=show_progress("verified")
        )
        print("\n".join(report.summary()), file=sys.stderr)
        spans = epoch_spans(report.openings, report.records)
        try:
            if options.query is not None:
                return _search_blindly(options, rows, report, spans)
            return _search(options, rows, report, spans, terms)
        except NoMatchingIdentityError as error:
            print(f"cloister-audit search: {error} Nothing was opened.", file=sys.stderr)
            return EXIT_KEYS
        except sqlite3.Error as error:
            print(f"cloister-audit search: the database is damaged: {error}", file=sys.stderr)
            return EXIT_INCOMPLETE


def _search(
    options: argparse.Namespace,
    rows: Records,
    report: Report,
    spans: list[EpochSpan],
    terms: dict[str, str],
) -> int:
    identities = officers_keys(options)
    secrets, shut = epoch_secrets(spans, identities, contents=False)
    query = make_query(report.origin, secrets, terms)
    if options.write_query is not None:
        _write(options.write_query, query)
    complete = report.verdict is Verdict.INTACT and not shut
    if options.write_query is None:
        complete &= _print_found(options, _found(options, rows, report, spans, secrets, query))
    for number, error in shut.items():
        print(f"epoch {number} stays shut: {error}", file=sys.stderr)
    return 0 if complete else EXIT_INCOMPLETE


def _found(
    options: argparse.Namespace,
    rows: Records,
    report: Report,
    spans: list[EpochSpan],
    secrets: dict[int, EpochSecrets],
    query: Query,
) -> Iterator[OpenedRecord | ClosedRecord]:
    """Metadata of what the query asks for; shares that would open contents are left aside."""

    window = _window(options)

    def wanted(row: Row) -> bool:
        return query.wants(row) and window.holds(Leaf.unpack(row.leaf))

    for span in spans:
        if span.number in secrets:
            metadata = EpochSecrets(secrets[span.number].metadata, {})
            yield from open_epoch(rows, span, metadata, log_name(report.openings[0][2]), wanted)


def _print_found(
    options: argparse.Namespace, records: Iterator[OpenedRecord | ClosedRecord]
) -> bool:
    count, complete = 0, True
    for record in records:
        if isinstance(record, ClosedRecord):
            complete = False
            print(f"record {record.index} does not open: {record.reason}", file=sys.stderr)
            continue
        count += 1
        print(as_json_line(record) if options.json else as_text(record))
    print(_counted(count), file=sys.stderr)
    return complete


def _search_blindly(
    options: argparse.Namespace, rows: Records, report: Report, spans: list[EpochSpan]
) -> int:
    try:
        query = Query.parse(options.query.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{options.query} can not be read: {error}.") from error
    if query.origin != report.origin:
        raise UsageError(f"The query was made for the log {query.origin}, not {report.origin}.")
    count, window = 0, _window(options)
    for leaf in find(rows, spans, query):
        if window.holds(leaf):
            count += 1
            record = OpenedRecord(leaf)
            print(as_json_line(record) if options.json else as_text(record).rstrip())
    print(_counted(count), file=sys.stderr)
    return 0 if report.verdict is Verdict.INTACT else EXIT_INCOMPLETE


def _window(options: argparse.Namespace) -> Window:
    kinds = frozenset() if options.type is None else frozenset({options.type})
    return Window(options.since, options.until, kinds)


def _write(path: Path, query: Query) -> None:
    try:
        path.write_text(query.to_json(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can not be written: {error.strerror}.") from error
    print(
        f"{path} finds these records in {len(query.trapdoors)} epochs and opens none of them: "
        f"cloister-audit search LOGDIR --query {path}",
        file=sys.stderr,
    )


def _counted(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'} found."
