"""The report as one HTML file that loads nothing from anywhere; browsers print it on A4."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from audit.reporting.document import (
    Banner,
    Block,
    Charts,
    Facts,
    Figures,
    Heading,
    Points,
    Table,
)
from audit.reporting.drawing import Drawing, Rectangle

_STYLE: Final = """\
@page { size: A4; margin: 18mm 20mm; }
* { box-sizing: border-box; }
body { font: 10pt/1.45 "Liberation Sans", "Helvetica Neue", Arial, sans-serif; color: #1c2430;
  max-width: 170mm; margin: 12mm auto; -webkit-print-color-adjust: exact;
  print-color-adjust: exact; }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 8mm; }
h1 { font-size: 21pt; margin: 0; letter-spacing: -.01em; }
header span { color: #66707d; overflow-wrap: anywhere; }
h2 { font-size: 13pt; margin: 8mm 0 1mm; break-after: avoid; }
h3 { font-size: 9.5pt; margin: 3mm 0 1.5mm; color: #444d59; }
p.note { margin: 0 0 2mm; color: #66707d; }
.banner { border-left: 5pt solid #1e7a46; background: #eef6f1; padding: 3mm 5mm; margin: 4mm 0; }
.banner.bad { border-color: #b3261e; background: #fbefee; }
.banner b { font-size: 14pt; letter-spacing: .03em; color: #1e7a46; }
.banner.bad b { color: #b3261e; }
.banner p { margin: 1mm 0 0; }
.figures { display: grid; grid-template-columns: repeat(6, 1fr); gap: 3mm; margin: 5mm 0 0; }
.figures div { border-top: 1.5pt solid #2a6099; padding-top: 1.5mm; font-size: 8.5pt;
  color: #66707d; line-height: 1.25; }
.figures b { display: block; font-size: 14pt; color: #1c2430; line-height: 1.35; }
.charts { display: flex; gap: 8.5mm; break-inside: avoid; }
.charts figure { margin: 0; flex: 1; min-width: 0; }
svg { width: 100%; height: auto; display: block;
  font-family: "Liberation Sans", "Helvetica Neue", Arial, sans-serif; }
dl { display: grid; grid-template-columns: 32mm 1fr; gap: 1mm 4mm; margin: 3mm 0;
  break-inside: avoid; }
dt { color: #66707d; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: 8.5pt; margin: 1mm 0 2mm; }
th { text-align: left; font-weight: 600; color: #66707d; border-bottom: 1pt solid #1c2430; }
th, td { padding: 1mm 3mm 1mm 0; vertical-align: top; }
td { border-bottom: .5pt solid #e3e7ec; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; }
tr { break-inside: avoid; }
ul { padding-left: 5mm; margin: 2mm 0; color: #444d59; }
@media print { body { margin: 0; max-width: none; } }
"""


def html_report(title: str, origin: str, blocks: Sequence[Block]) -> str:
    """The report as text.

    Args:
        title: its title.
        origin: name of the log.
        blocks: what it says.
    """
    body = "\n".join(_block(block) for block in blocks)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{_text(title)}: {_text(origin)}</title>\n<style>\n{_STYLE}</style>\n</head>\n"
        f"<body>\n<header><h1>{_text(title)}</h1><span>{_text(origin)}</span></header>\n"
        f"{body}\n</body>\n</html>\n"
    )


def svg(drawing: Drawing) -> str:
    """A chart as SVG."""
    shapes = []
    for shape in drawing.shapes:
        if isinstance(shape, Rectangle):
            shapes.append(
                f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
                f'height="{shape.height:.1f}" fill="{shape.colour}"/>'
            )
        else:
            shapes.append(
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}" '
                f'font-size="{shape.size}" fill="{shape.colour}">{_text(shape.text)}</text>'
            )
    return (
        f'<svg viewBox="0 0 {drawing.width:.0f} {drawing.height:.0f}" role="img" '
        f'aria-label="{_text(drawing.title)}">' + "".join(shapes) + "</svg>"
    )


def _block(block: Block) -> str:
    match block:
        case Banner(good, title, text):
            kind = "banner" if good else "banner bad"
            return f'<div class="{kind}"><b>{_text(title)}</b><p>{_text(text)}</p></div>'
        case Heading(text, note):
            below = f'<p class="note">{_text(note)}</p>' if note else ""
            return f"<h2>{_text(text)}</h2>{below}"
        case Facts(rows):
            pairs = "".join(
                f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in rows
            )
            return f"<dl>{pairs}</dl>"
        case Figures(rows):
            each = "".join(f"<div><b>{_text(value)}</b>{_text(name)}</div>" for value, name in rows)
            return f'<div class="figures">{each}</div>'
        case Charts(drawings):
            figures = "".join(
                f"<figure><h3>{_text(drawing.title)}</h3>{svg(drawing)}</figure>"
                for drawing in drawings
            )
            return f'<div class="charts">{figures}</div>'
        case Table():
            return _table(block)
        case Points(rows):
            return "<ul>" + "".join(f"<li>{_text(row)}</li>" for row in rows) + "</ul>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in table.head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    note = f'<p class="note">{_text(table.note)}</p>' if table.note else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def _text(text: str) -> str:
    """Text for HTML: escaped, and without characters that it may not hold."""
    return escape("".join(one if one.isprintable() else "\ufffd" for one in text))
