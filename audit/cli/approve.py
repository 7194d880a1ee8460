"""`cloister-audit approve`: sign what two officers decide together, on a machine of your own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from audit.approval import GROUNDS, VALID_DAYS, Action, Request
from audit.cli.keys import add_passphrase_argument, passphrases
from audit.cli.usage import UsageError
from audit.keyfile import read_identities
from audit.signer import signer_of

EXIT_REFUSED: Final = 1

EPILOG = f"""\
examples:
  cloister-audit approve request.json --key a.key
      Show what is asked for, ask whether you approve it, and sign the file.

  cloister-audit approve request.json --key b.key --yes -o signed.json
      The same without a question, into another file.

  cloister-audit approve --signer --key a.key
      Print the public half of your signature, for the field "signer" in officers.json.

The request comes from the appliance: cloister audit erase-subject, hold or release, with -o FILE.
An officer of each group signs it, one after the other or each a copy. Carried back, it takes effect
by: cloister audit carry-out FILE. It counts for {VALID_DAYS} days, and once.

The file names the person or case in clear. Destroy it afterwards.

exit status:
  0  signed
  1  not approved
  4  wrong usage, no such file, or a request that contradicts itself
"""

_ASKED: Final = {
    Action.ERASE: "ERASE for ever the contents of all records about {about}. Nobody will read "
    "them again, you neither. Leaves, proofs and metadata stay.",
    Action.HOLD: "HOLD {about} for the matter {ground}: nothing of it is erased or pruned until "
    "two officers release the matter.",
    Action.RELEASE: "RELEASE all holds of the matter {ground}: what they protected may be erased "
    "and pruned again.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("request", type=Path, nargs="?", metavar="FILE", help="what to sign")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="your key")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the same file")
    add_passphrase_argument(parser)
    parser.add_argument("--yes", action="store_true", help="approve without being asked")
    parser.add_argument("--signer", action="store_true", help="print your signature's public half")


def run(options: argparse.Namespace) -> int:
    """Show, ask, sign; returns the exit status."""
    (identity, *more) = read_identities(options.key, passphrases(options))
    if more:
        raise UsageError(f"{options.key} holds several keys. Give a file with yours alone.")
    if options.signer:
        print(signer_of(identity))
        return 0
    if options.request is None:
        raise UsageError("Give the request's file.")
    request = _read(options.request)
    print("\n".join(description(request)), file=sys.stderr)
    if not options.yes and not _agreed():
        print("cloister-audit approve: not signed.", file=sys.stderr)
        return EXIT_REFUSED
    signed, place = request.signed(identity), options.output or options.request
    try:
        place.write_text(signed.to_json(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{place} can not be written: {error.strerror}.") from error
    print(
        f"SIGNED: {place} bears {len(signed.lines)} signature(s). Once an officer of each group "
        f"has signed: cloister audit carry-out {place}",
        file=sys.stderr,
    )
    return 0


def description(request: Request) -> list[str]:
    """What a request asks for, in plain words."""
    statement = request.statement
    about = f'"{request.subject}"' if request.subject else "everything in the log"
    asked = _ASKED[statement.action].format(about=about, ground=statement.ground)
    ground = GROUNDS.get(statement.ground)
    return [
        f"log      {statement.origin}",
        f"asked    {asked}",
        *([f"ground   {ground}"] if ground else []),
        f"made     {statement.made:%Y-%m-%d %H:%M} UTC, request {statement.request}",
        f"signed   {len(request.lines)} signature(s) so far",
    ]


def _read(path: Path) -> Request:
    try:
        return Request.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can not be read: {error}.") from error


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("Nobody is there to be asked. Read the request, then give --yes.")
    print('Type "yes" to approve: ', end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() == "yes"
