"""`cloister run`: everything on this machine, in one terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console

from appliance.cli.common import open_log
from appliance.cli.storage import open_app_database
from appliance.host.errors import StoppedError
from appliance.host.first_run import administrators, fill_tree, first_admin, keep_log_key, make_tree
from appliance.host.lock import locked
from appliance.host.manager import Manager, child_environment
from appliance.host.preflight import check_all, check_permissions, private_folders
from appliance.host.programs import programs, url
from appliance.identity import Accounts
from appliance.settings import Settings


@click.command("run")
def command() -> None:
    """Start the audit writer, the engine and the pages; Ctrl-C stops all three.

    The first start makes the state tree, demo keys of two officers, the demo model and a first
    administrator, whose one-time password stands in the last line:

    \b
      Cloister is ready: http://127.0.0.1:8080  user: admin  password: …

    \b
    Examples:
      cloister run
      CLOISTER_PORT=9000 CLOISTER_STATE=/srv/trial cloister run
    """
    settings = Settings()
    check_permissions(private_folders(settings))
    make_tree(settings)
    with locked(settings.run / "run.lock", settings.root):
        fill_tree(settings, click.echo)
        # Read again: the file may be there only now, or may have been there all along.
        settings = Settings()
        try:
            check_all(settings)
            _run(settings)
        finally:
            _tidy(settings)


def _tidy(settings: Settings) -> None:
    """Leave no folder behind outside of the state tree, where its path was too long for sockets."""
    if settings.root not in settings.run.parents:
        shutil.rmtree(settings.run, ignore_errors=True)


def _run(settings: Settings) -> None:
    with Manager(child_environment(settings.root), settings.logs, _say) as manager:
        try:
            for program in programs(settings):
                with _progress(f"Starting the {program.name}"):
                    manager.start(program)
            click.echo(ready_line(settings))
            manager.watch()
        except StoppedError:
            pass
        click.echo("Stopping.")
    click.echo("Stopped.")


def ready_line(settings: Settings) -> str:
    """The last line of the start-up; makes the first administrator where there is none."""
    with open_app_database(settings) as database, open_log(settings) as log:
        keep_log_key(settings, log.status().vkey)
        accounts = Accounts(database, log)
        password = first_admin(accounts)
        names = administrators(accounts)
    line = f"Cloister is ready: {url(settings)}  user: {names[0]}"
    return line if password is None else f"{line}  password: {password}"


def _say(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def _progress(text: str) -> Iterator[None]:
    if sys.stdout.isatty():
        with Console().status(text):
            yield
    else:
        click.echo(text)
        yield
