"""The page that brings a lost key back: one sheet of HTML to print and lock away."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_STYLE: Final = """\
@page { size: A4; margin: 18mm 20mm; }
* { box-sizing: border-box; }
body { font: 11pt/1.45 "Liberation Sans", "Helvetica Neue", Arial, sans-serif; color: #111;
  max-width: 170mm; margin: 12mm auto; }
header { display: flex; justify-content: space-between; align-items: baseline;
  border-bottom: 2.5pt solid #111; padding-bottom: 3mm; }
h1 { font-size: 21pt; margin: 0; letter-spacing: -.01em; }
header span { font-size: 10pt; color: #444; }
.warn { border: 1.5pt solid #111; border-left-width: 6pt; padding: 3mm 4mm; margin: 5mm 0; }
.warn b { font-size: 12pt; }
dl { display: grid; grid-template-columns: 32mm 1fr; gap: 1.2mm 4mm; margin: 0 0 5mm; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
dd.key { font: 9.5pt/1.4 "Liberation Mono", "DejaVu Sans Mono", monospace; }
ol { list-style: none; margin: 0; padding: 4mm 6mm; border: .75pt solid #999;
  border-radius: 2mm; columns: 1; counter-reset: line; }
ol li { counter-increment: line; display: flex; align-items: baseline; padding: .9mm 0;
  font: 700 19pt/1.35 "Liberation Mono", "DejaVu Sans Mono", monospace; letter-spacing: .14em; }
ol li::before { content: counter(line); width: 12mm; font: 400 10pt sans-serif; color: #777;
  letter-spacing: 0; }
ol li.last { border-top: .75pt solid #999; margin-top: 1.5mm; padding-top: 2mm; }
ol li.last::after { content: "check of all lines"; font: 400 9pt sans-serif; color: #777;
  letter-spacing: 0; margin-left: 6mm; }
h2 { font-size: 12pt; margin: 6mm 0 1.5mm; }
p { margin: 0 0 2mm; }
code { font: 9.5pt "Liberation Mono", "DejaVu Sans Mono", monospace; }
.sign { display: grid; grid-template-columns: 1fr 1fr 1fr; gap: 8mm; margin-top: 13mm; }
.sign div { border-top: .75pt solid #111; padding-top: 1mm; font-size: 9pt; color: #555; }
@media print { body { margin: 0; } }
"""

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Recovery page: {name}</title>
<style>
{style}</style>
</head>
<body>
<header><h1>Recovery page</h1><span>Cloister audit log &middot; {kind}</span></header>
<div class="warn"><b>Who has this page has the key.</b><br>
Print it on a printer that keeps no copies, delete the file, seal the sheet in an envelope and lock
it away, not beside the computer. No passphrase protects what stands here.</div>
<dl>
<dt>Key of</dt><dd>{name}</dd>
<dt>For</dt><dd>{purpose}</dd>
<dt>Made</dt><dd>{created}</dd>
<dt>Public key</dt><dd class="key">{public}</dd>
</dl>
<ol>
{lines}
</ol>
<h2>If the key file or its passphrase is lost</h2>
<p>On a computer that you trust, run <code>cloister-audit recover -o new.key --passphrase</code>
and type the nine lines. Small letters, spaces and dashes do not matter; there is no letter I, L, O
or U. A mistyped line is named. The command prints the public key: it must be the one above.</p>
<div class="sign"><div>Sealed by</div><div>Date</div><div>Place</div></div>
</body>
</html>
"""

_LONGEST: Final = 90  # characters of a public key that are printed in full


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What stands on the page beside the lines.

    Attributes:
        name: whose key it is.
        kind: what kind of key, for people.
        purpose: what it opens or does.
        created: when it was made.
        public: the public half.
    """

    name: str
    kind: str
    purpose: str
    created: str
    public: str


def recovery_page(facts: PageFacts, lines: Sequence[str]) -> str:
    """The page as HTML that loads nothing from anywhere.

    Args:
        facts: what stands beside the lines.
        lines: of the key.
    """
    items = [f"<li>{line}</li>" for line in lines[:-1]]
    items.append(f'<li class="last">{lines[-1]}</li>')
    return _PAGE.format(
        style=_STYLE,
        name=escape(facts.name),
        kind=escape(facts.kind),
        purpose=escape(facts.purpose),
        created=escape(facts.created),
        public=escape(shown_key(facts.public)),
        lines="\n".join(items),
    )


def shown_key(public: str) -> str:
    """A public key short enough for people to compare: a long one by its ends and its digest."""
    if len(public) <= _LONGEST:
        return public
    digest = hashlib.sha256(public.encode()).hexdigest()[:32]
    parts = " ".join(digest[start : start + 4] for start in range(0, len(digest), 4))
    return f"{public[:24]}…{public[-12:]}, SHA-256 begins {parts}"
