"""The README as a script: its commands, and what it shows as their output."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"^```(?P<language>console|python)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE
)
_ANYTHING = "…"


@dataclass(frozen=True)
class Step:
    """One command and the output that the README shows; `…` in it stands for anything."""

    command: str
    shown: str

    def matches(self, output: str) -> bool:
        """Whether the output is as shown, whatever the width of the columns."""
        parts = [re.escape(_squeezed(part)) for part in self.shown.split(_ANYTHING)]
        return (
            re.fullmatch(".*".join(parts).strip(), _squeezed(output).strip(), re.DOTALL) is not None
        )


def steps(text: str) -> list[Step]:
    """The commands of all console blocks, in order."""
    return [step for block in _blocks(text, "console") for step in _steps_of(block)]


def programs(text: str) -> list[str]:
    """The Python blocks."""
    return list(_blocks(text, "python"))


def _blocks(text: str, language: str) -> Iterator[str]:
    for block in _BLOCK.finditer(text):
        if block["language"] == language:
            yield block["body"]


def _steps_of(block: str) -> Iterator[Step]:
    command, shown = "", list[str]()
    for line in block.splitlines():
        if line.startswith("$ "):
            if command:
                yield Step(command, "\n".join(shown))
            command, shown = line[2:], []
        else:
            shown.append(line)
    yield Step(command, "\n".join(shown))


def _squeezed(text: str) -> str:
    return "\n".join(re.sub(r"[ \t]+", " ", line).rstrip() for line in text.splitlines())


class Shell:
    """One shell for a list of commands, as a person's second terminal."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            ["/bin/bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> str:
        """The output of one command, standard error included."""
        end = "--- end of this command ---"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\necho; echo '{end}'\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line.strip() == end:
                break
            lines.append(line)
        return "".join(lines)

    def close(self) -> None:
        """End the shell."""
        self._process.communicate("exit\n", timeout=30)
