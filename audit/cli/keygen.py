"""`cloister-audit keygen`: make an officer's or a witness's key."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.age import Identity
from audit.cli.usage import UsageError
from audit.cosign import Witness
from audit.keyfile import witness_key_text
from audit.note import is_origin
from audit.officers import GROUPS, Officer, Officers, load_officers, save_officers
from audit.signer import signer_of

_Made = tuple[str, str, Callable[[Officers], Officers]]
"""A key file's text, the public half, and how the officers' file takes it in."""

EPILOG = """\
examples:
  cloister-audit keygen --name "A. Officer" --group compliance -o a.key
      Make a key. Keep a.key to yourself, give the printed public key to the installer.

  cloister-audit keygen --name "B. Officer" --group security -o b.key --officers officers.json
      The same, and add the public key to the appliance's officers' file.

  cloister-audit keygen --name a-officer-laptop --witness -o witness.key
      Make a key that cosigns checkpoints. It opens nothing; the printed vkey says whose it is.

The log opens to one officer of each group together. Keep the key for as long as records must be
readable: what was sealed to it opens to nothing else.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--name", required=True, help="whose key it is")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--group", choices=GROUPS, help="which of the two groups")
    kind.add_argument("--witness", action="store_true", help="a witness's key, which cosigns")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="file for the secret key"
    )
    parser.add_argument(
        "--officers", type=Path, metavar="FILE", help="officers.json to add the public key to"
    )


def run(options: argparse.Namespace) -> int:
    """Make the key; returns the exit status."""
    make = _witness if options.witness else _officer
    text, public, add = make(options)
    officers = None
    if options.officers is not None:
        officers = add(load_officers(options.officers) if options.officers.exists() else Officers())
    _write_secret(options.output, text)
    if officers is not None:
        save_officers(options.officers, officers)
        place = "the witnesses" if options.witness else options.group
        print(f"Added {options.name} to {place} in {options.officers}.", file=sys.stderr)
    print(f"Secret key in {options.output}. Public key:", file=sys.stderr)
    print(public)
    return 0


def _officer(options: argparse.Namespace) -> _Made:
    identity = Identity.generate()
    created = datetime.now(UTC).replace(microsecond=0).isoformat()
    signer = str(signer_of(identity))
    text = (
        f"# created: {created}\n# public key: {identity.recipient}\n# signer: {signer}\n"
        f"{identity}\n"
    )
    officer = Officer(options.name, identity.recipient, signer)
    return text, identity.recipient, lambda known: known.with_member(options.group, officer)


def _witness(options: argparse.Namespace) -> _Made:
    if not is_origin(options.name):
        raise UsageError("A witness's name is printable ASCII without spaces and plus signs.")
    key = Ed25519PrivateKey.generate()
    witness = Witness(options.name, key.public_key().public_bytes_raw())
    return witness_key_text(key), str(witness), lambda known: known.with_witness(witness)


def _write_secret(path: Path, text: str) -> None:
    """Write a key file that only its owner reads, over no existing file."""
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
