"""The `cloister` command: one file a command group, read only when it is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

_GROUPS: Final = {
    "run": "Start everything on this machine.",
    "doctor": "Check host, models, log and sockets.",
    "model": "Models: import, list, show, ps, activate, rollback, alias, rm, known, describe.",
    "task": "Tasks: list, show, run.",
    "user": "Accounts: add, list, disable, reset.",
    "key": "API keys: add, list, revoke.",
    "audit": "The log: status, verify.",
    "bundle": "Offline bundles: build, verify, inspect, unpack.",
}


class _Commands(click.Group):
    """Imports a command's file when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return list(_GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, imported now; None where there is none."""
        if cmd_name not in _GROUPS:
            return None
        module = import_module(f"appliance.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_GROUPS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Examples:\n\n"
    "\b\n"
    "  cloister run                             start; Ctrl-C stops everything\n"
    "  cloister task run deidentify letter.txt  run a task on a file\n"
    "  cloister key add records-system          make an API key\n"
    "  cloister audit verify                    check the whole log",
)
@click.version_option(package_name="cloister", prog_name="cloister")
def cli() -> None:
    """Cloister: small language models behind locked doors.

    State lies in CLOISTER_STATE (./var), pages on CLOISTER_PORT (8080).
    """


def main() -> None:
    """Run the command line; the only place that turns errors into exit codes."""
    try:
        code = cli(prog_name="cloister", standalone_mode=False)
    except click.exceptions.Abort:
        raise SystemExit(130) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # The reader of our output went away (`cloister … | head`): that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:  # the process's edge: no traceback reaches a person
        from appliance.cli.errors import describe

        click.echo(f"Error: {describe(error)}", err=True)
        raise SystemExit(1) from None
    # Click hands back what `Context.exit` was given.
    raise SystemExit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
