"""How far a log host has been told, in a small file; the log itself is the buffer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Position:
    """Where the forwarder stands.

    Attributes:
        vkey: the log's verifier key: another log begins anew.
        next: index of the first record that the host was not told.
        reason: why it is not told now; empty while it is.
    """

    vkey: str = ""
    next: int = 0
    reason: str = ""


def read_position(path: Path) -> Position:
    """The position in a file, or the beginning where there is none that reads."""
    try:
        return Position(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Position()


def write_position(path: Path, position: Position) -> None:
    """Replace the file in one step.

    It is not synced: after a crash a few records are told twice, which their indices show.
    """
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(asdict(position)))
    fresh.replace(path)
