"""`cloister doctor`: is all well here?"""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.table import Table

from appliance.cli.common import console, json_option, print_json
from appliance.host.doctor import Finding, State, examine
from appliance.settings import Settings

_STYLE = {State.OK: "green", State.WARN: "yellow", State.BAD: "bold red"}


@click.command("doctor")
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check the host, the models, the log and the sockets; exit 0 when nothing is bad.

    \b
    Examples:
      cloister doctor
      cloister doctor --json
    """
    findings = list(examine(Settings()))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    context.exit(int(any(finding.state is State.BAD for finding in findings)))


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("check", "state", "found", "remedy"):
        table.add_column(name, overflow="fold")
    for one in findings:
        state = f"[{_STYLE[one.state]}]{one.state}[/]"
        table.add_row(one.check, state, one.detail, one.remedy)
    console().print(table)
