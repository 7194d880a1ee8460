"""`cloister key`: API keys of systems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

import click

from appliance.cli.common import (
    actor,
    json_option,
    open_log,
    print_list,
    words,
)
from appliance.cli.storage import open_app_database
from appliance.identity import ApiKeys
from appliance.settings import Settings

_COLUMNS = ["prefix", "name", "owner", "models", "tasks", "used_at", "expires_at", "revoked_at"]


@click.group("key")
def command() -> None:
    """API keys: which systems may ask, and for what."""


@command.command("add")
@click.argument("name")
@click.option("--owner", help="Account that answers for the key; disabling it stops the key.")
@click.option("--model", "models", multiple=True, help="Model that it may ask; repeatable.")
@click.option("--task", "tasks", multiple=True, help="Task that it may run; repeatable.")
@click.option("--days", type=click.IntRange(1, 3650), help="Days until it expires.")
def add(
    name: str,
    owner: str | None,
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    days: int | None,
) -> None:
    """Make a key; it stands alone on the last line and is shown this once.

    \b
    Examples:
      cloister key add records-system
      cloister key add triage-desk --task triage --days 90
      KEY=$(cloister key add nightly-batch | tail -n 1)
    """
    with _keys() as keys:
        key = keys.create(
            name,
            actor=actor(),
            owner=owner,
            models=models or None,
            tasks=tasks or None,
            lifetime=None if days is None else timedelta(days=days),
        )
    click.echo(f"Made the key {name}. It is shown this once:")
    click.echo(key)


@command.command("list")
@click.option("--all", "revoked", is_flag=True, help="Revoked keys too.")
@json_option
def list_keys(revoked: bool, as_json: bool) -> None:
    """List the keys; their secrets are kept nowhere.

    \b
    Examples:
      cloister key list
      cloister key list --all --json
    """
    with _keys(recorded=False) as keys:
        rows = [asdict(key) for key in keys.list(revoked=revoked)]
    names = _COLUMNS if revoked else _COLUMNS[:-1]
    columns = {name: _scope if name in {"models", "tasks"} else words for name in names}
    print_list(rows, columns, as_json=as_json)


@command.command("revoke")
@click.argument("key")
def revoke(key: str) -> None:
    """Stop a key for good, by its name or prefix.

    \b
    Example:
      cloister key revoke records-system
    """
    with _keys() as keys:
        gone = keys.revoke(key, actor=actor())
    click.echo(f"Revoked {gone.name} ({gone.prefix}).")


@contextmanager
def _keys(*, recorded: bool = True) -> Iterator[ApiKeys]:
    settings = Settings()
    with (
        open_app_database(settings) as database,
        open_log(settings, needed=recorded) as log,
    ):
        yield ApiKeys(database, log)


def _scope(names: object) -> str:
    return "all" if names is None else words(names)
