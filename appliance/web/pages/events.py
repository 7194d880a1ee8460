"""Server-sent events as text (WHATWG HTML, 9.2)."""

from __future__ import annotations

import json
import re
from typing import Final

_LINE_END: Final = re.compile(r"\r\n|\r|\n")


def event(name: str, data: str) -> str:
    """One event with a name and lines of data."""
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(data))
    return f"event: {name}\n{lines}\n"


def text_event(name: str, text: str) -> str:
    """One event whose data is a JSON string, which keeps the text's own line ends."""
    return event(name, json.dumps(text, ensure_ascii=False))
