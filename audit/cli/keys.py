"""Officers' keys on the command line, and the passphrases that unlock them: never in the arguments.

A passphrase is typed on the terminal or read from a file descriptor; arguments and environment of a
process are seen by others on the machine.
"""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from audit.cli.usage import UsageError
from audit.keyfile import AskPassphrase, OfficerKey, read_identities

_SHORTEST: Final = 12  # characters


def add_passphrase_argument(parser: argparse.ArgumentParser) -> None:
    """Declare where passphrases come from, if not from the terminal."""
    parser.add_argument(
        "--passphrase-fd",
        type=int,
        metavar="N",
        help="read the passphrase of each locked key from this file descriptor, one a line",
    )


def add_new_passphrase_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a new key file is locked."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--passphrase", action="store_true", help="lock the file with a passphrase; it is asked for"
    )
    how.add_argument(
        "--passphrase-fd", type=int, metavar="N", help="the same, read from this file descriptor"
    )


def officers_keys(options: argparse.Namespace) -> list[OfficerKey]:
    """The keys in the files that `--key` names.

    Raises:
        KeyFileError: if a file holds none, or stays locked.
        UsageError: if nobody can be asked for a passphrase.
    """
    paths: list[Path] = options.key
    ask = passphrases(options)
    return [identity for path in paths for identity in read_identities(path, ask)]


def passphrases(options: argparse.Namespace) -> AskPassphrase:
    """What gives the passphrase of a locked key file."""
    if options.passphrase_fd is None:
        return lambda name: _typed(f"Passphrase of {name}: ")
    line = _lines(options.passphrase_fd)
    return lambda name: line(f"the passphrase of {name}")


def new_passphrase(options: argparse.Namespace) -> str | None:
    """The passphrase that a new key is locked with, if it is; typed twice on a terminal.

    Raises:
        UsageError: if it is too short or both differ.
    """
    if options.passphrase_fd is not None:
        return _long_enough(_lines(options.passphrase_fd)("a passphrase"))
    if not options.passphrase:
        return None
    found = _long_enough(_typed("Passphrase for the new key: "))
    if _typed("The same again: ") != found:
        raise UsageError("The passphrases differ. Nothing was written.")
    return found


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads, over no existing one.

    Raises:
        UsageError: if it exists, or can not be written.
    """
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists. Choose another name, or move the old one away."
        ) from error
    except OSError as error:
        raise UsageError(f"{path} can not be written: {error.strerror}.") from error
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _long_enough(text: str) -> str:
    if len(text) < _SHORTEST:
        raise UsageError(
            f"A passphrase has at least {_SHORTEST} characters: whoever finds the file tries all "
            "short ones. Take four or five words that have nothing to do with each other."
        )
    return text


def _typed(prompt: str) -> str:
    try:
        # getpass would read from standard input, visibly, where there is no terminal.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise UsageError(
            "There is no terminal to type the passphrase on. Give it with --passphrase-fd."
        ) from error
    try:
        return getpass.getpass(prompt)
    except EOFError as error:
        raise UsageError("No passphrase was typed. Nothing was opened.") from error


def _lines(number: int) -> Callable[[str], str]:
    """A reader of one line after the other from a file descriptor."""
    try:
        file = os.fdopen(number, encoding="utf-8", closefd=False)
    except OSError as error:
        raise UsageError(
            f"--passphrase-fd {number}: no file is open there. Open one: 3<passphrase.txt"
        ) from error

    def line(what: str) -> str:
        try:
            found = file.readline()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--passphrase-fd {number} can not be read: {error}.") from error
        if not found:
            raise UsageError(f"--passphrase-fd {number} ended before {what}.")
        return found.rstrip("\n")

    return line
