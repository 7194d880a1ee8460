"""`cloister-audit keygen`: make an officer's or a witness's key."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.age import Identity
from audit.agekeys import resists_quantum
from audit.cli.keys import add_new_passphrase_arguments, new_passphrase, write_secret
from audit.cli.usage import UsageError
from audit.cosign import Witness
from audit.hybrid import HybridIdentity
from audit.keyfile import identity_text, lock, witness_key_text
from audit.note import is_origin
from audit.officers import GROUPS, Officer, Officers, load_officers, save_officers
from audit.recovery import KeyKind, recovery_lines
from audit.recovery_page import PageFacts, recovery_page
from audit.signer import signer_of

EPILOG = """\
examples:
  cloister-audit keygen --name "A. Officer" --group compliance -o a.key \\
      --passphrase --recovery a-recovery.html
      Make a key. Keep a.key to yourself, give the printed public key to the installer. The file is
      locked with a passphrase, which is asked for. Print the recovery page, then delete its file.

  cloister-audit keygen --name "B. Officer" --group security -o b.key --officers officers.json
      Not locked, and its public key is added to the appliance's officers' file.

  cloister-audit keygen --name "C. Officer" --group security -o c.key --post-quantum
      A key that a quantum computer does not break either (ML-KEM-768 with X25519). What was sealed
      stays shut to it if all members of one group have such keys, metadata if all of both have.

  cloister-audit keygen --name a-officer-laptop --witness -o witness.key
      Make a key that cosigns checkpoints. It opens nothing; the printed vkey says whose it is.

The log opens to one officer of each group together. Keep the key for as long as records must be
readable: what was sealed to it opens to nothing else. A locked key file is an age file, which
age -d a.key opens too.
"""


@dataclass(frozen=True, slots=True)
class _Made:
    """A new key.

    Attributes:
        public: its public half.
        kind: what it is for.
        secret: 32 bytes.
        file: writes the key file, locked with the passphrase if there is one.
        add: takes its public half into the officers' file.
        created: when it was made.
    """

    public: str
    kind: KeyKind
    secret: bytes
    file: Callable[[str | None], bytes]
    add: Callable[[Officers], Officers]
    created: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--name", required=True, help="whose key it is")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--group", choices=GROUPS, help="which of the two groups")
    kind.add_argument("--witness", action="store_true", help="a witness's key, which cosigns")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="file for the secret key"
    )
    add_new_passphrase_arguments(parser)
    parser.add_argument(
        "--recovery", type=Path, metavar="FILE", help="page to print that brings the key back, HTML"
    )
    parser.add_argument(
        "--post-quantum", action="store_true", help="an officer's key with ML-KEM-768 beside X25519"
    )
    parser.add_argument(
        "--officers", type=Path, metavar="FILE", help="officers.json to add the public key to"
    )


def run(options: argparse.Namespace) -> int:
    """Make the key; returns the exit status."""
    for path in (options.output, options.recovery):
        if path is not None and path.exists():
            raise UsageError(f"{path} exists. Choose another name, or move it away.")
    made = _witness(options) if options.witness else _officer(options)
    officers = None
    if options.officers is not None:
        known = load_officers(options.officers) if options.officers.exists() else Officers()
        officers = made.add(known)
    passphrase = new_passphrase(options)
    page = None if options.recovery is None else _page(options, made)
    write_secret(options.output, made.file(passphrase))
    if page is not None:
        write_secret(options.recovery, page.encode())
        _say(
            f"Recovery page in {options.recovery}: print it, delete the file, lock the sheet away."
        )
    if officers is not None:
        save_officers(options.officers, officers)
        place = "the witnesses" if options.witness else options.group
        _say(f"Added {options.name} to {place} in {options.officers}.")
        _remark_mixed(officers)
    if passphrase is None:
        _say(
            f"{options.output} is not locked: who has the file has the key. --passphrase locks it."
        )
    _say(f"Secret key in {options.output}. Public key:")
    print(made.public)
    return 0


def _officer(options: argparse.Namespace) -> _Made:
    identity = HybridIdentity.generate() if options.post_quantum else Identity.generate()
    kind = KeyKind.OFFICER_POST_QUANTUM if options.post_quantum else KeyKind.OFFICER
    created = _now()
    text = identity_text(identity, created)
    officer = Officer(options.name, identity.recipient, str(signer_of(identity)))
    return _Made(
        identity.recipient,
        kind,
        identity.secret,
        lambda passphrase: text.encode() if passphrase is None else lock(text, passphrase),
        lambda known: known.with_member(options.group, officer),
        created,
    )


def _witness(options: argparse.Namespace) -> _Made:
    if not is_origin(options.name):
        raise UsageError("A witness's name is printable ASCII without spaces and plus signs.")
    if options.post_quantum:
        raise UsageError("A witness signs with Ed25519; --post-quantum is for officers' keys.")
    key = Ed25519PrivateKey.generate()
    witness = Witness(options.name, key.public_key().public_bytes_raw())
    return _Made(
        str(witness),
        KeyKind.WITNESS,
        key.private_bytes_raw(),
        lambda passphrase: witness_key_text(key, passphrase).encode(),
        lambda known: known.with_witness(witness),
        _now(),
    )


def _page(options: argparse.Namespace, made: _Made) -> str:
    if options.witness:
        kind, purpose = "a witness's key", "signing checkpoints of the log; it opens nothing"
    else:
        kind = "an officer's key" + ", post-quantum" * options.post_quantum
        purpose = f"opening the log, group {options.group}, together with the other group"
    facts = PageFacts(options.name, kind, purpose, made.created, made.public)
    return recovery_page(facts, recovery_lines(made.kind, made.secret))


def _remark_mixed(officers: Officers) -> None:
    """Say who keeps a group's grants within a quantum computer's reach, if others do not."""
    for group in GROUPS:
        members = officers.members[group]
        weak = [member.name for member in members if not resists_quantum(member.recipient)]
        if 0 < len(weak) < len(members):
            _say(
                f"The group {group} has keys of both kinds. Its grants withstand a quantum "
                f"computer only when {', '.join(weak)} has a key made with --post-quantum too."
            )


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def _say(text: str) -> None:
    print(text, file=sys.stderr)
