"""`cloister-audit keygen`: make an officer's key."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from audit.age import Identity
from audit.cli.usage import UsageError
from audit.officers import GROUPS, Officer, Officers, load_officers, save_officers

EPILOG = """\
examples:
  cloister-audit keygen --name "A. Officer" --group compliance -o a.key
      Make a key. Keep a.key to yourself, give the printed public key to the installer.

  cloister-audit keygen --name "B. Officer" --group security -o b.key --officers officers.json
      The same, and add the public key to the appliance's officers' file.

The log opens to one officer of each group together. Keep the key for as long as records must be
readable: what was sealed to it opens to nothing else.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--name", required=True, help="whose key it is")
    parser.add_argument("--group", required=True, choices=GROUPS, help="which of the two groups")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="file for the secret key"
    )
    parser.add_argument(
        "--officers", type=Path, metavar="FILE", help="officers.json to add the public key to"
    )


def run(options: argparse.Namespace) -> int:
    """Make the key; returns the exit status."""
    identity = Identity.generate()
    officers = None
    if options.officers is not None:
        existing = load_officers(options.officers) if options.officers.exists() else Officers()
        officers = existing.with_member(options.group, Officer(options.name, identity.recipient))
    _write_identity(options.output, identity)
    if officers is not None:
        save_officers(options.officers, officers)
        print(f"Added {options.name} to {options.group} in {options.officers}.", file=sys.stderr)
    print(f"Secret key in {options.output}. Public key:", file=sys.stderr)
    print(identity.recipient)
    return 0


def _write_identity(path: Path, identity: Identity) -> None:
    """Write an age identity file that only its owner reads, over no existing file."""
    created = datetime.now(UTC).replace(microsecond=0).isoformat()
    text = f"# created: {created}\n# public key: {identity.recipient}\n{identity}\n"
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists. Choose another name, or move the old key away."
        ) from error
    except OSError as error:
        raise UsageError(f"{path} can not be written: {error.strerror}.") from error
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
