"""Become one of the programs, as a unit of systemd starts it: `python -m appliance.host web`.

The arguments are those that `cloister run` starts it with, from the same settings.
"""

from __future__ import annotations

import os
import sys

from appliance.cli.errors import describe
from appliance.host.programs import programs
from appliance.settings import Settings

_NAMES = ("writer", "engine", "web", "forwarder")


def main(arguments: list[str] | None = None) -> int:
    """Replace this process; returns only where that is not possible, with the exit status.

    Args:
        arguments: the program's name, then what it is given beyond the settings.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] not in _NAMES:
        print(f"usage: python -m appliance.host {{{','.join(_NAMES)}}} …", file=sys.stderr)
        return 2
    try:
        # Without a log host there is no forwarder.
        known = dict(zip(_NAMES, programs(Settings()), strict=False))
    except Exception as error:  # a process's edge: a wrong setting becomes one line in the journal
        print(describe(error), file=sys.stderr)
        return 1
    program = known.get(given[0])
    if program is None:
        print("No log host is set: see audit_forward in docs/audit.md.", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", program.module, *program.arguments, *given[1:]]
    return os.execv(sys.executable, command)  # noqa: S606 - our own module, arguments of the settings


if __name__ == "__main__":
    sys.exit(main())
