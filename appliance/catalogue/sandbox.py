"""The sandbox that chat templates run in: Jinja that can neither look around nor eat memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment

_REPEAT = 65_536  # characters or items that an operator or a filter may make
_POWER = 64  # largest exponent of `**`
_REPLACED = 32 * 1024 * 1024  # characters that `replace` may make
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:\*|\d{5})")  # a field of 10,000 characters or more


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja as chat templates expect it, without attributes that lead out of it.

    What makes long texts of short ones is bounded: Jinja computes constant expressions while it
    compiles, so that a template need not even run to take all memory.
    """

    intercepted_binops = frozenset(("*", "**", "%"))

    def __init__(self) -> None:
        """White space, loop controls and helpers as model publishers use them."""
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        self.filters |= {name: _bounded(FILTERS[name]) for name in ("center", "indent", "format")}
        self.filters |= {"replace": _bounded(FILTERS["replace"]), "tojson": _bounded(_to_json)}
        self.globals["raise_exception"] = _refuse

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - Jinja's signature
        """Compute `left operator right` if the result stays small."""
        if operator == "**" and not (abs(left) <= _REPEAT and abs(right) <= _POWER):
            raise SecurityError("the power is too large")
        sized = [len(side) for side in (left, right) if hasattr(side, "__len__")]
        if operator == "*" and sized:
            times = max((side for side in (left, right) if isinstance(side, int)), default=1)
            if sized[0] * times > _REPEAT:
                raise SecurityError("the repetition is too long")
        if operator == "%" and isinstance(left, str) and _WIDE.search(left):
            raise SecurityError("the field is too wide")
        return super().call_binop(context, operator, left, right)


def _bounded(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses wide fields, large numbers, and texts that multiply each other."""

    @wraps(plain)  # which also copies the mark by which Jinja knows what to pass first
    def bounded(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever a template says
        values = [*given, *named.values()]
        texts = [value for value in values if isinstance(value, str)]
        if any(isinstance(value, int) and abs(value) > _REPEAT for value in values):
            raise SecurityError("the number is too large")
        if plain is FILTERS["format"] and any(_WIDE.search(text) for text in texts):
            raise SecurityError("the field is too wide")
        if plain is FILTERS["replace"] and len(texts) == 3 and _grown(*texts) > _REPLACED:
            raise SecurityError("the text is too long")
        return plain(*given, **named)

    return bounded


def _grown(text: str, old: str, new: str) -> int:
    """Characters of `text` with every `old` replaced by `new`, at most."""
    return len(text) + (len(text) // max(1, len(old)) + 1) * len(new)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(str(message)[:300])


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
