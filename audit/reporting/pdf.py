"""The report as PDF, set by reportlab where it is installed; nothing else of the tool needs it."""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Final
from xml.sax.saxutils import escape

from audit.reporting.document import (
    WIDTH,
    Banner,
    Block,
    Charts,
    Facts,
    Figures,
    Heading,
    Points,
    Table,
)
from audit.reporting.drawing import BLUE, FAINT, GRID, INK, Drawing, Rectangle

Untyped = Any
"""Something of the library, which ships no types."""

_GOOD, _GOOD_PAPER = "#1e7a46", "#eef6f1"
_BAD, _BAD_PAPER = "#b3261e", "#fbefee"
_MARGIN: Final = 56.0  # points
_PADDING: Final = 6.0  # that the library leaves inside of the margins
_GAP: Final = 24.0  # between two charts
_FONT, _BOLD = "Helvetica", "Helvetica-Bold"
_LIBRARY: Final = "reportlab"


def can_write_pdf() -> bool:
    """Whether reportlab is installed."""
    return importlib.util.find_spec(_LIBRARY) is not None


def pdf_report(title: str, origin: str, blocks: Sequence[Block]) -> bytes:
    """The report as a file, the same bytes for the same report.

    Args:
        title: its title.
        origin: name of the log.
        blocks: what it says.
    """
    library = _load()
    file = io.BytesIO()
    # Invariant: no date and no random name of the file goes into it.
    document = library.platypus.SimpleDocTemplate(
        file, pagesize=library.pagesizes.A4, invariant=1, title=f"{title}: {origin}",
        author=origin, leftMargin=_MARGIN - _PADDING, rightMargin=_MARGIN - _PADDING,
        topMargin=_MARGIN, bottomMargin=_MARGIN,
    )  # fmt: skip
    story = [_text(library, title, 21, _BOLD, after=8)]
    for block in blocks:
        story += _block(library, block)
    foot = partial(_foot, origin)
    document.build(story, onFirstPage=foot, onLaterPages=foot)
    return file.getvalue()


def _load() -> Untyped:
    """The parts of the library that are used, by short names."""
    names = ("lib.pagesizes", "lib.styles", "lib.colors", "platypus", "graphics.shapes")
    modules = {name.rpartition(".")[2]: name for name in names}
    return SimpleNamespace(
        **{short: importlib.import_module(f"{_LIBRARY}.{name}") for short, name in modules.items()}
    )


def _foot(origin: str, canvas: Untyped, document: Untyped) -> None:
    canvas.setFont(_FONT, 8)
    canvas.setFillColor(FAINT)
    canvas.drawString(_MARGIN, _MARGIN / 2, origin)
    canvas.drawRightString(_MARGIN + WIDTH, _MARGIN / 2, f"Page {document.page}")


def _block(library: Untyped, block: Block) -> list[Untyped]:
    match block:
        case Banner():
            return [_banner(library, block)]
        case Heading(text, note):
            below = [_text(library, note, 9, colour=FAINT, after=4)] if note else []
            return [_text(library, text, 13, _BOLD, before=16, after=4, keep=True), *below]
        case Facts(rows):
            cells = [
                [_text(library, name, 9, colour=FAINT), _text(library, said, 9)]
                for name, said in rows
            ]
            return [_grid(library, cells, (90.0, WIDTH - 90.0), [])]
        case Figures(rows):
            values = [_text(library, value, 14, _BOLD) for value, _ in rows]
            names = [_text(library, name, 8, colour=FAINT) for _, name in rows]
            rule = ("LINEABOVE", (0, 0), (-1, 0), 1.5, library.colors.HexColor(BLUE))
            widths = (WIDTH / len(rows),) * len(rows)
            return [library.platypus.Spacer(1, 10), _grid(library, [values, names], widths, [rule])]
        case Charts():
            return [library.platypus.Spacer(1, 8), _charts(library, block)]
        case Table():
            return _table(library, block)
        case Points(rows):
            return [_text(library, f"• {row}", 9, after=3) for row in rows]


def _banner(library: Untyped, banner: Banner) -> Untyped:
    ink, paper = (_GOOD, _GOOD_PAPER) if banner.good else (_BAD, _BAD_PAPER)
    cell = [
        _text(library, banner.title, 14, _BOLD, colour=ink, after=2),
        _text(library, banner.text, 10),
    ]
    colours = library.colors
    style = [
        ("BACKGROUND", (0, 0), (-1, -1), colours.HexColor(paper)),
        ("LINEBEFORE", (0, 0), (0, -1), 5, colours.HexColor(ink)),
        ("LEFTPADDING", (0, 0), (-1, -1), 14),
        ("TOPPADDING", (0, 0), (-1, -1), 8),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 10),
    ]
    return _grid(library, [[cell]], (WIDTH,), style)


def _charts(library: Untyped, charts: Charts) -> Untyped:
    cells = [
        [_text(library, one.title, 9.5, _BOLD, after=4), _drawn(library, one)]
        for one in charts.drawings
    ]
    if len(cells) == 1:
        return _grid(library, [cells], (WIDTH,), [])
    half = (WIDTH - _GAP) / 2
    return _grid(library, [[cells[0], "", cells[1]]], (half, _GAP, half), [])


def _drawn(library: Untyped, drawing: Drawing) -> Untyped:
    """A chart in the library's shapes, whose y runs upwards."""
    shapes = library.shapes
    drawn = shapes.Drawing(drawing.width, drawing.height)
    for shape in drawing.shapes:
        colour = library.colors.HexColor(shape.colour)
        if isinstance(shape, Rectangle):
            low = drawing.height - shape.y - shape.height
            drawn.add(
                shapes.Rect(
                    shape.x, low, shape.width, shape.height, fillColor=colour, strokeColor=None
                )
            )
        else:
            drawn.add(
                shapes.String(
                    shape.x, drawing.height - shape.y, _latin(shape.text), fontName=_FONT,
                    fontSize=shape.size, fillColor=colour, textAnchor=shape.anchor,
                )
            )  # fmt: skip
    return drawn


def _table(library: Untyped, table: Table) -> list[Untyped]:
    colours = library.colors
    head = [_text(library, name, 8, _BOLD, colour=FAINT) for name in table.head]
    rows = [[_text(library, cell, 8) for cell in row] for row in table.rows]
    style = [
        ("LINEBELOW", (0, 0), (-1, 0), 1, colours.HexColor(INK)),
        ("LINEBELOW", (0, 1), (-1, -1), 0.5, colours.HexColor(GRID)),
    ]
    widths = (96.0, 46.0, 100.0, WIDTH - 242.0)
    note = [_text(library, table.note, 8, colour=FAINT, before=3)] if table.note else []
    return [_grid(library, [head, *rows], widths, style, repeat=1), *note]


def _grid(
    library: Untyped,
    cells: Sequence[Sequence[Untyped]],
    widths: Sequence[float],
    style: Sequence[tuple[Untyped, ...]],
    repeat: int = 0,
) -> Untyped:
    plain = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 6),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    return library.platypus.Table(
        cells, colWidths=widths, style=[*plain, *style], repeatRows=repeat, hAlign="LEFT"
    )


def _text(
    library: Untyped,
    text: str,
    size: float,
    font: str = _FONT,
    *,
    colour: str = INK,
    before: float = 0,
    after: float = 0,
    keep: bool = False,
) -> Untyped:
    style = library.styles.ParagraphStyle(
        "text", fontName=font, fontSize=size, leading=size * 1.3, textColor=colour,
        spaceBefore=before, spaceAfter=after, keepWithNext=keep, splitLongWords=True,
    )  # fmt: skip
    return library.platypus.Paragraph(escape(_latin(text)), style)


def _latin(text: str) -> str:
    """What the fonts that every reader has can show; anything else as a question mark."""
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return shown.encode("cp1252", "replace").decode("cp1252")
