"""`cloister-audit cosign`: witness a checkpoint, on a machine that is not the appliance."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from audit.cli.keys import add_passphrase_argument, passphrases
from audit.cli.usage import UsageError
from audit.cli.verify import add_key_arguments, trusted_key
from audit.cosign import cosign
from audit.errors import LogFormatError, WitnessRefusedError
from audit.keyfile import read_witness_key
from audit.note import is_origin
from audit.reader import open_rows
from audit.report import format_time
from audit.witness import Memory, WitnessRequest, judge, make_request

EXIT_REFUSED: Final = 1

EPILOG = """\
examples:
  cloister-audit cosign checkpoint.json --name a-officer-laptop --key witness.key \\
      --vkey-file commissioning.vkey -o cosigned.note
      The first time: say which log it is, by the key that was printed when it was made.

  cloister-audit cosign checkpoint.json --name a-officer-laptop --key witness.key -o cosigned.note
      Each time after: it must go on from what this witness has seen before. Carry the file
      back to the appliance: cloister audit witness cosigned.note

checkpoint.json comes from the appliance: cloister audit checkpoint -o checkpoint.json
What the witness has seen is kept beside the key, in <key>.seen; a copy of it is worth keeping.

exit status:
  0  signed
  1  not signed: the log was rolled back, is another, or does not go on from what was seen
  4  wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("request", type=Path, metavar="FILE|LOGDIR", help="what to sign")
    parser.add_argument("--name", required=True, help="the witness's name, as keygen had it")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="his key")
    parser.add_argument("--memory", type=Path, metavar="FILE", help="default: <key>.seen")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: standard output"
    )
    add_passphrase_argument(parser)
    add_key_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Check and sign; returns the exit status."""
    if not is_origin(options.name):
        raise UsageError("A witness's name is printable ASCII without spaces and plus signs.")
    key = read_witness_key(options.key, passphrases(options))
    place = options.memory or options.key.with_name(options.key.name + ".seen")
    now = int(time.time())
    try:
        memory = _memory(options, place)
        request = _request(options.request, memory)
        seen = judge(request, memory, now)
        # What he has signed must never be forgotten, so the memory comes first.
        _remember(place, seen)
    except WitnessRefusedError as error:
        print(f"cloister-audit cosign: NOT SIGNED. {error}", file=sys.stderr)
        return EXIT_REFUSED
    note = cosign(request.checkpoint, options.name, key, now)
    if options.output is None:
        print(note, end="")
    else:
        _write(options.output, note)
    print(_summary(memory, seen), file=sys.stderr)
    return 0


def _memory(options: argparse.Namespace, place: Path) -> Memory:
    trusted = trusted_key(options)
    try:
        memory = Memory.parse(place.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if trusted is None:
            raise UsageError(
                f"{place} does not exist, so this witness has not seen the log before. Give its "
                "key with --vkey-file: the line that was printed when it was commissioned."
            ) from error
        return Memory(trusted)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{place} can not be read: {error}.") from error
    if trusted is not None and str(trusted) != str(memory.vkey):
        raise UsageError(f"{place} is of another log, {memory.vkey}. Give another --memory.")
    return memory


def _request(path: Path, memory: Memory) -> WitnessRequest:
    if path.is_dir():
        with open_rows(path) as rows:
            return make_request(rows, [memory.size])
    try:
        return WitnessRequest.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LogFormatError(f"{path} can not be read: {error}.") from error


def _remember(place: Path, memory: Memory) -> None:
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=place.parent, delete=False, encoding="utf-8"
        ) as file:
            file.write(memory.to_json())
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(place)
    except OSError as error:
        raise UsageError(f"{place} can not be written: {error.strerror}.") from error


def _write(path: Path, note: str) -> None:
    try:
        path.write_text(note, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can not be written: {error.strerror}.") from error


def _summary(before: Memory, seen: Memory) -> str:
    if not before.size:
        return f"SIGNED: {seen.size} records, seen for the first time."
    last = format_time(before.seen * 1_000_000_000)
    return (
        f"SIGNED: {seen.size} records, {seen.size - before.size} more than on {last}; the first "
        f"{before.size} are the same."
    )
