"""Long work on a terminal: a bar while it goes on, one line when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_FEW = 100_000  # below it a bar counts pieces, above it bytes


class TerminalTeller:
    """Says on standard error how it goes."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._console = Console(stderr=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Something begins that lasts a while."""
        with self._console.status(text) if self._console.is_terminal else nullcontext():
            yield
        click.echo(f"{text}: done", err=True)

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Callable[[int], object]]:
        """Something begins whose progress is known; `total` in pieces, or in bytes."""
        counted = (
            (MofNCompleteColumn(),)
            if total < _FEW
            else (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        )
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counted)
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as progress:
            task = progress.add_task(text, total=total)
            yield lambda more: progress.advance(task, more)
        click.echo(f"{text}: done", err=True)
