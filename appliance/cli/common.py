"""What the command groups share: settings, the running parts, and two kinds of output."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from appliance.host.errors import NotRunningError
from appliance.settings import Settings
from audit.client import AuditClient

_PIPE_WIDTH = 160  # columns

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def actor() -> str:
    """Who runs this command, as the log names it: the account that the kernel knows."""
    uid = os.geteuid()
    try:
        return f"cli:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"cli:{uid}"


@contextmanager
def open_log(settings: Settings, *, needed: bool = True) -> Iterator[AuditClient]:
    """The log's client.

    Args:
        settings: say where its socket is.
        needed: False for a command that only reads, and so records nothing.

    Raises:
        NotRunningError: it is needed, and the writer's socket is not there.
    """
    if needed and not settings.audit_socket.exists():
        raise NotRunningError(
            f"Cloister does not run on {settings.root}.",
            "Start it with `cloister run`, or name its folder with CLOISTER_STATE.",
        )
    with closing(AuditClient(settings.audit_socket, timeout=10.0)) as client:
        yield client


def print_json(value: object) -> None:
    """Print a value for a program: times in ISO 8601, sets as sorted lists."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def print_list(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Callable[[Any], str]], *, as_json: bool
) -> None:
    """Print a list.

    Args:
        rows: one mapping a line; JSON shows all of it.
        columns: of the table: heading by key, and how to write the value.
        as_json: for a program instead of a person.
    """
    listed = list(rows)
    if as_json:
        print_json(listed)
    else:
        console().print(table_of(listed, columns))


def table_of(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Callable[[Any], str]]
) -> Table:
    """A list as a table; arguments as in `print_list`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        heading = name if name.isupper() else name.replace("_", " ")
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(write(row[name]) for name, write in columns.items()))
    return table


def console() -> Console:
    """Standard output for tables; wide where a program reads it."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def words(value: object) -> str:
    """A value in a table: times to the minute in UTC, nothing as a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(sorted(str(one) for one in value)) or "-"
    return str(value)


def size(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(str(one) for one in value)
    return str(value)
