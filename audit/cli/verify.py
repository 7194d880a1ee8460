"""`cloister-audit verify`: check that nothing was changed, removed or reordered."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from audit.cli.progress import show_progress
from audit.cli.usage import UsageError
from audit.errors import NoteFormatError
from audit.export.layout import FACTS
from audit.known import parse_witness
from audit.note import VerifierKey
from audit.reader import open_records
from audit.verify import verify_log

EPILOG = """\
examples:
  cloister-audit verify /var/lib/cloister/audit --vkey-file commissioning.vkey \\
      --head /var/lib/cloister-head/head.log
      Check the whole log by the key that was printed when it was made.

  cloister-audit verify ./copy-of-the-log --json
      The same for a program. Without --vkey the log's own word for its key is taken.

  cloister-audit verify LOGDIR --seen cosigned.note --witness "$(cat laptop.vkey)"
      Compare with what a witness or a log host kept: shows a log that was rolled back.

  cloister-audit verify ./export --vkey-file commissioning.vkey
      Check an export: every file, every record, and what it is signed by.

exit status:
  0  intact
  1  tampered: the first lines name the records
  2  the last records stand under no signed checkpoint
  3  not witnessed (only with --require-witness)
  4  wrong usage, or no log there
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_log_arguments(parser)
    parser.add_argument("--head", type=Path, metavar="FILE", help="head file to compare with")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_outside_arguments(parser)
    parser.add_argument(
        "--require-witness", action="store_true", help="fail unless an outside witness signed"
    )


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what says which log is meant, and by which key."""
    parser.add_argument("log", type=Path, metavar="DIR", help="folder of the log or of an export")
    add_key_arguments(parser)


def add_outside_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what was kept outside of the log, and whose word counts."""
    parser.add_argument(
        "--seen", type=Path, metavar="FILE", help="checkpoints kept outside: notes, syslog lines"
    )
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="a witness whose word counts"
    )


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what says by which key a log is known."""
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--vkey", help="verifier key of the log, <origin>+<id>+<key>")
    key.add_argument("--vkey-file", type=Path, metavar="FILE", help="file that holds it")


def trusted_key(options: argparse.Namespace) -> VerifierKey | None:
    """The verifier key that was given, if one was.

    Raises:
        UsageError: if it is malformed or its file can not be read.
    """
    try:
        if options.vkey_file is not None:
            return VerifierKey.parse(options.vkey_file.read_text())
        return None if options.vkey is None else VerifierKey.parse(options.vkey)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{options.vkey_file} can not be read: {error}.") from error
    except NoteFormatError as error:
        raise UsageError(str(error)) from error


def run(options: argparse.Namespace) -> int:
    """Verify; returns the exit status."""
    trusted = trusted_key(options)
    if options.head is not None and (options.log / FACTS).exists():
        raise UsageError("--head compares with a log. With an export, give --seen.")
    try:
        witnesses = [parse_witness(vkey) for vkey in options.witness]
        with open_records(options.log) as rows:
            report = verify_log(
                rows,
                options.log,
                trusted=trusted,
                head=options.head,
                seen=options.seen,
                witnesses=witnesses,
                progress=show_progress("verified"),
            )
    except OSError as error:
        raise UsageError(f"{error.filename} can not be read: {error.strerror}.") from error
    except NoteFormatError as error:
        raise UsageError(str(error)) from error
    report.require_witness = options.require_witness
    if options.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        print("\n".join(report.lines()))
    return int(report.verdict)
