"""Charts as rectangles, lines and words, which HTML and PDF draw alike. Sizes are in points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

INK: Final = "#1c2430"
FAINT: Final = "#66707d"
GRID: Final = "#e3e7ec"
BLUE: Final = "#2a6099"

_SMALL: Final = 7.5  # points
_WIDTH_OF_LETTER: Final = 0.52  # of its size, on average
_ROW: Final = 15.0  # height of a bar with its gap
_BAR: Final = 9.0
_MOST_LABELS: Final = 12
_TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A filled rectangle; `y` is that of its upper edge."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class Words:
    """Text on a baseline; `anchor` is `start`, `middle` or `end`."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    size: float = _SMALL
    colour: str = FAINT


@dataclass(slots=True)
class Drawing:
    """A chart.

    Attributes:
        width: of the whole.
        height: of the whole.
        title: what it shows, for whom does not see it.
        shapes: from back to front.
    """

    width: float
    height: float
    title: str
    shapes: list[Rectangle | Words] = field(default_factory=list)


def columns(
    title: str,
    points: Sequence[tuple[str, Mapping[str, int]]],
    colours: Mapping[str, str],
    width: float,
    height: float,
) -> Drawing:
    """Stacked columns over a row of labels.

    Args:
        title: what it shows.
        points: label and values by name.
        colours: by name, from the bottom up.
        width: of the whole.
        height: of the whole.
    """
    drawing = Drawing(width, height, title)
    left, top, bottom = 34.0, 18.0, height - 16.0
    highest = max((sum(values.values()) for _, values in points), default=0)
    step = nice_step(highest)
    ceiling = max(step, math.ceil(highest / step) * step)
    scale = (bottom - top) / ceiling
    for tick in range(0, ceiling + 1, step):
        y = bottom - tick * scale
        drawing.shapes.append(Rectangle(left, y, width - left, 0.5, GRID))
        drawing.shapes.append(Words(left - 5, y + 2.5, grouped(tick), "end"))
    pitch = (width - left) / max(len(points), 1)
    every = max(1, math.ceil(len(points) / _MOST_LABELS))
    for place, (label, values) in enumerate(points):
        x, y = left + place * pitch, bottom
        breadth = min(pitch * 0.72, 28.0)
        for name, colour in colours.items():
            tall = values.get(name, 0) * scale
            y -= tall
            if tall:
                drawing.shapes.append(
                    Rectangle(x + (pitch - breadth) / 2, y, breadth, tall, colour)
                )
        if place % every == 0:
            drawing.shapes.append(Words(x + pitch / 2, bottom + 11, label, "middle"))
    _legend(drawing, colours)
    return drawing


def bars(title: str, counts: Sequence[tuple[str, int]], width: float, most: int = 8) -> Drawing:
    """Lying bars, longest first, each with its label and number.

    Args:
        title: what it shows.
        counts: label and number, longest first.
        width: of the whole.
        most: bars; the rest is put together in one.
    """
    shown = list(counts[:most])
    if len(counts) > most:
        rest = counts[most - 1 :]
        shown[most - 1 :] = [(f"{len(rest)} others", sum(number for _, number in rest))]
    drawing = Drawing(width, max(1, len(shown)) * _ROW + 4, title)
    label, value = width * 0.46, 36.0
    longest = max((number for _, number in shown), default=1) or 1
    for place, (name, number) in enumerate(shown):
        y = place * _ROW + 3
        length = max((width - label - value) * number / longest, 1.0)
        text = shortened(name, label - 6, 8)
        drawing.shapes += [
            Words(label - 6, y + 7.3, text, "end", 8, INK),
            Rectangle(label, y, length, _BAR, BLUE),
            Words(label + length + 4, y + 7.3, grouped(number), "start", 8),
        ]
    if not shown:
        drawing.shapes.append(Words(0, 10, "None.", size=8))
    return drawing


def nice_step(highest: int) -> int:
    """A round number so that about four of it reach the highest value."""
    rough = max(highest / _TICKS, 1)
    power = 10 ** math.floor(math.log10(rough))
    return int(next(power * times for times in (1, 2, 5, 10) if power * times >= rough))


def shortened(text: str, width: float, size: float) -> str:
    """A text cut so that it fits, with an ellipsis."""
    room = int(width / (size * _WIDTH_OF_LETTER))
    return text if len(text) <= room else text[: max(room - 1, 1)] + "…"


def grouped(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}"


def _legend(drawing: Drawing, colours: Mapping[str, str]) -> None:
    x = 34.0
    for name, colour in colours.items():
        drawing.shapes.append(Rectangle(x, 2, 7, 7, colour))
        drawing.shapes.append(Words(x + 11, 8.3, name, size=8, colour=INK))
        x += 24 + len(name) * 8 * _WIDTH_OF_LETTER
