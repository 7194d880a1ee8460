"""Days and times on the command line."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime


def moment(text: str) -> int:
    """A day or time, UTC unless it says otherwise, in nanoseconds since 1970.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text} is no date; write 2026-11-23 or 2026-11-23T14:00"
        ) from error
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 1_000_000_000
