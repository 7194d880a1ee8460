"""Geometry of the small drawings on pages: a curve of the last minute, shares of a bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 120
"""Units of a curve from side to side."""
HEIGHT: Final = 28
"""Units of a curve from its line of zero to its peak, with the stroke."""
TONES: Final = 6
"""Colours that parts of a bar take in turn."""
_STROKE: Final = 2  # units; the line must not be cut off at its peak or at zero


@dataclass(frozen=True)
class Curve:
    """A line of values, the latest at the right end.

    Args:
        line: Points as SVG's `polyline` takes them.
        peak: The largest value; the height of the drawing.
    """

    line: str
    peak: float


@dataclass(frozen=True)
class Part:
    """A part of a bar.

    Args:
        name: What it is.
        size: How much it is, in bytes.
        start: Where it begins, in per cent of the bar.
        width: In per cent of the bar.
        tone: Number of its colour, from 1.
    """

    name: str
    size: int
    start: float
    width: float
    tone: int


def curve(values: Sequence[float], places: int) -> Curve | None:
    """The curve of values.

    Args:
        values: The latest last, at most `places` of them.
        places: Values that fill the whole width; fewer stand at its right.

    Returns:
        None where there are too few for a line.
    """
    if len(values) < 2:
        return None
    shown = values[-places:]
    peak = max(shown)
    step = WIDTH / (places - 1)
    first = places - len(shown)
    points = (
        f"{(first + index) * step:.1f},{_height(value, peak):.1f}"
        for index, value in enumerate(shown)
    )
    return Curve(" ".join(points), peak)


def _height(value: float, peak: float) -> float:
    share = value / peak if peak > 0 else 0.0
    return HEIGHT - _STROKE / 2 - share * (HEIGHT - _STROKE)


def parts(sizes: Iterable[tuple[str, int]], whole: int) -> list[Part]:
    """The parts of a bar, one behind the other.

    Args:
        sizes: Name and bytes of each; those of nothing are left out.
        whole: Bytes of the whole bar; where the parts are more, they fill it.
    """
    kept = [(name, size) for name, size in sizes if size > 0]
    whole = max(whole, sum(size for _, size in kept), 1)
    found: list[Part] = []
    start = 0.0
    for index, (name, size) in enumerate(kept):
        width = 100 * size / whole
        found.append(Part(name, size, round(start, 2), round(width, 2), index % TONES + 1))
        start += width
    return found
