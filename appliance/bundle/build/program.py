"""Start a program that a build needs, and say in one line what is wrong when it fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from appliance.bundle.errors import ToolError

_TAIL: Final = 6  # lines of a program's output that are shown when it fails


def run(
    command: Sequence[str | Path],
    remedy: str,
    *,
    variables: Mapping[str, str] | None = None,
    line: Callable[[str], object] = lambda _line: None,
) -> str:
    """Run a program to its end; what it wrote.

    Args:
        command: program and arguments; never a secret, since any user may read them.
        remedy: what a person can do when it fails.
        variables: of the environment, over ours.
        line: told each line of output as it comes.

    Raises:
        ToolError: it is missing, or failed; shows the end of its output.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **(variables or {})}
    try:
        with subprocess.Popen(  # noqa: S603 - fixed programs, paths of a person who builds
            [str(word) for word in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            lines = []
            for text in process.stdout or ():
                lines.append(text.rstrip("\n"))
                line(lines[-1])
    except FileNotFoundError as error:
        raise ToolError(f"{command[0]} is missing on this machine. {remedy}") from error
    if process.returncode:
        shown = " | ".join(text.strip() for text in lines[-_TAIL:] if text.strip())
        raise ToolError(f"{command[0]} failed: {shown}. {remedy}")
    return "\n".join(lines)
