"""What a person sees who asks the command line for help."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from appliance.cli.main import cli

FIXED = {
    "run": set(),
    "doctor": set(),
    "model": {
        "import",
        "list",
        "show",
        "ps",
        "rm",
        "activate",
        "rollback",
        "alias",
        "remove",
        "known",
        "describe",
    },
    "task": {"list", "show", "run"},
    "user": {"add", "list", "disable", "reset"},
    "key": {"add", "list", "revoke"},
    "audit": {
        "status",
        "verify",
        "export",
        "checkpoint",
        "cosign",
        "witness",
        "erase-subject",
        "hold",
        "release",
        "carry-out",
        "ledger",
    },
    "bundle": {"build", "verify", "inspect", "unpack"},
}


def _commands(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _commands(child, (*path, name))


ALL = list(_commands())
LEAVES = [(path, command) for path, command in ALL if not isinstance(command, click.Group)]


def test_the_commands_are_the_agreed_ones() -> None:
    found = {path[0]: set() for path, _ in ALL if path}
    for path, _ in LEAVES:
        found[path[0]] |= set(path[1:])
    assert found == FIXED


@pytest.mark.parametrize("path", [path for path, _ in ALL], ids="-".join)
def test_help_is_there(path: tuple[str, ...]) -> None:
    for flag in ("--help", "-h"):
        done = CliRunner().invoke(cli, [*path, flag])
        assert done.exit_code == 0
        assert done.output.startswith("Usage:")


@pytest.mark.parametrize("path", [path for path, _ in LEAVES], ids="-".join)
def test_help_teaches_with_an_example_of_this_very_command(path: tuple[str, ...]) -> None:
    text = CliRunner().invoke(cli, [*path, "--help"]).output
    examples = text.split("Example", 1)[1]
    assert f"cloister {' '.join(path)}" in examples


@pytest.mark.parametrize("path", [path for path, _ in LEAVES if path[-1] in {"list", "show"}])
def test_every_list_takes_json(path: tuple[str, ...]) -> None:
    assert "--json" in CliRunner().invoke(cli, [*path, "--help"]).output


def test_the_first_page_names_every_group_with_a_line() -> None:
    text = CliRunner().invoke(cli, []).output
    for name in FIXED:
        assert re.search(rf"^  {name} +\S", text, re.MULTILINE)


def test_the_version_is_the_package_s() -> None:
    from appliance import __version__

    assert __version__ in CliRunner().invoke(cli, ["--version"]).output
