"""`cloister-audit recover`: bring a key back from the page that was printed with it."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.age import Identity
from audit.cli.keys import add_new_passphrase_arguments, new_passphrase, write_secret
from audit.cli.usage import UsageError
from audit.cosign import Witness
from audit.errors import RecoveryError
from audit.hybrid import HybridIdentity
from audit.keyfile import identity_text, lock, witness_key_text
from audit.note import is_origin
from audit.recovery import LINES, KeyKind, Recovered, read_line, read_lines
from audit.recovery_page import shown_key

EPILOG = """\
examples:
  cloister-audit recover -o a.key --passphrase
      Asks for the nine lines of the page, then for a passphrase that locks the file.

  cloister-audit recover -o witness.key --name a-officer-laptop
      The same for a witness's key, whose public half has its name in it.

Compare the public key that is printed with the one on the page. The old key file, should it turn
up again, opens what this one opens.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="file for the secret key"
    )
    parser.add_argument("--name", default="witness", help="a witness's name, as on the page")
    add_new_passphrase_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Read the lines and write the key; returns the exit status."""
    if options.output.exists():
        raise UsageError(f"{options.output} exists. Choose another name, or move it away.")
    if not is_origin(options.name):
        raise UsageError("A witness's name is printable ASCII without spaces and plus signs.")
    found = _typed() if sys.stdin.isatty() else read_lines(sys.stdin.read().split("\n")[:-1])
    passphrase = new_passphrase(options)
    data, public = _key(found, options.name, passphrase)
    write_secret(options.output, data)
    print(
        f"Secret key in {options.output}. On the page its public key is {shown_key(public)}",
        file=sys.stderr,
    )
    print(public)
    return 0


def _typed() -> Recovered:
    """Ask for line after line; a mistyped one at once again."""
    lines: list[str] = []
    while len(lines) < LINES:
        number = len(lines) + 1
        try:
            line = input(f"Line {number} of {LINES}: ")
            read_line(number, line)
            lines.append(line)
        except RecoveryError as error:
            print(error, file=sys.stderr)
        except EOFError as error:
            raise UsageError("The page was not typed to its end. Nothing was written.") from error
    return read_lines(lines)


def _key(found: Recovered, name: str, passphrase: str | None) -> tuple[bytes, str]:
    """A key file's bytes, and the public half."""
    if found.kind is KeyKind.WITNESS:
        key = Ed25519PrivateKey.from_private_bytes(found.secret)
        public = str(Witness(name, key.public_key().public_bytes_raw()))
        return witness_key_text(key, passphrase).encode(), public
    post_quantum = found.kind is KeyKind.OFFICER_POST_QUANTUM
    identity = HybridIdentity(found.secret) if post_quantum else Identity(found.secret)
    recovered = datetime.now(UTC).replace(microsecond=0).isoformat()
    text = identity_text(identity, f"{recovered}, from its recovery page")
    return (
        text.encode() if passphrase is None else lock(text, passphrase),
        identity.recipient,
    )
