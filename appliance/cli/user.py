"""`cloister user`: accounts of people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from appliance.cli.common import (
    actor,
    json_option,
    open_log,
    print_list,
    words,
)
from appliance.cli.storage import open_app_database
from appliance.identity import Account, Accounts, Role
from appliance.settings import Settings


@click.group("user")
def command() -> None:
    """Accounts of people: who may sign in, and as what."""


@command.command("add")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in Role]),
    help="What the account may do; give it again for more. Without it: user.",
)
def add(name: str, roles: tuple[str, ...]) -> None:
    """Make an account; its one-time password stands alone on the last line.

    \b
    Examples:
      cloister user add nurse.joy
      cloister user add c.officer --role officer
    """
    with _accounts() as accounts:
        password = accounts.create(name, roles or [Role.USER], actor=actor())
    click.echo(f"Made {name.strip().lower()}. The password must be changed at the first sign-in:")
    click.echo(password)


@command.command("list")
@json_option
def list_accounts(as_json: bool) -> None:
    """List all accounts, disabled ones too.

    \b
    Examples:
      cloister user list
      cloister user list --json
    """
    with _accounts(recorded=False) as accounts:
        rows = [_row(account) for account in accounts.list()]
    columns = dict.fromkeys(["name", "roles", "state", "last_login"], words)
    print_list(rows, columns, as_json=as_json)


@command.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Let nobody sign in with an account; ends its sessions and stops its keys.

    \b
    Example:
      cloister user disable nurse.joy
    """
    with _accounts() as accounts:
        accounts.disable(name, actor=actor())
    click.echo(f"Disabled {name}.")


@command.command("reset")
@click.argument("name")
def reset(name: str) -> None:
    """Give an account a new one-time password, alone on the last line.

    \b
    Example:
      cloister user reset nurse.joy
    """
    with _accounts() as accounts:
        password = accounts.reset(name, actor=actor())
    click.echo(f"Reset {name}. The password must be changed at the next sign-in:")
    click.echo(password)


@contextmanager
def _accounts(*, recorded: bool = True) -> Iterator[Accounts]:
    settings = Settings()
    with (
        open_app_database(settings) as database,
        open_log(settings, needed=recorded) as log,
    ):
        yield Accounts(database, log)


def _row(account: Account) -> dict[str, Any]:
    state = "disabled" if account.disabled else "must change password"
    return {
        "name": account.name,
        "roles": sorted(account.roles),
        "state": state if account.disabled or account.must_change else "active",
        "disabled": account.disabled,
        "must_change": account.must_change,
        "created": account.created_at,
        "last_login": account.last_login_at,
    }
