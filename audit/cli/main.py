"""`cloister-audit`: one command, one file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from audit.cli import approve, convert, cosign, keygen, recover, report, search, verify
from audit.cli import open as open_command
from audit.cli.usage import EXIT_USAGE
from audit.errors import AuditError

_DESCRIPTION = """\
Verify and open an audit log, without the appliance's help.

  keygen   make an officer's or a witness's key
  recover  bring a key back from its printed page
  verify   check that nothing was changed, removed or reordered
  cosign   witness a checkpoint, so that nothing before it can be cut off unnoticed
  approve  sign what two officers decide: erasing a subject, a legal hold, its release
  search   find records by their metadata; needs one officer's key
  open     read records; needs a key of both groups of officers
  report   write a readable report, with charts
  convert  write records as CSV, OCSF, CEF, RFC 5424, FHIR or JSON Lines
"""


_COMMANDS: Final = {
    "keygen": keygen,
    "recover": recover,
    "verify": verify,
    "cosign": cosign,
    "approve": approve,
    "search": search,
    "open": open_command,
    "report": report,
    "convert": convert,
}


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage with the exit status that `verify` promises for it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and stop."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = _Parser(
        prog="cloister-audit",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=(module.__doc__ or "").partition(": ")[2].strip(),
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except AuditError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
