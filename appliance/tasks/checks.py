"""Checks on a finished answer: pure functions, nothing is changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator


@dataclass(frozen=True)
class Check:
    """One check and how it came out.

    `name` is `complete`, `schema` or `verbatim`; `detail` is one sentence for people that names
    fields but repeats nothing of the answer, so it may go where answers may not.
    """

    name: str
    passed: bool
    detail: str


def check_answer(
    answer: str,
    finish_reason: str,
    schema: Mapping[str, Any] | None,
    source: str | None,
) -> tuple[Check, ...]:
    """Check an answer.

    Args:
        answer: The answer's text.
        finish_reason: OpenAI's: `length` means that it was cut.
        schema: JSON Schema that it has to keep, or None for plain text.
        source: Text in which each text of a JSON answer has to occur, or None.
    """
    done = [_complete(finish_reason)]
    if schema is not None:
        done.append(_keeps_schema(answer, schema))
        if source is not None and done[-1].passed:
            done.append(_verbatim(json.loads(answer), source))
    return tuple(done)


def _complete(finish_reason: str) -> Check:
    if finish_reason == "length":
        return Check("complete", False, "The answer was cut at its token limit.")
    return Check("complete", True, "The answer came to its own end.")


def _keeps_schema(answer: str, schema: Mapping[str, Any]) -> Check:
    try:
        value = json.loads(answer)
    except ValueError:
        return Check("schema", False, "The answer is not JSON.")
    for error in Draft202012Validator(schema).iter_errors(value):
        path = ".".join(str(part) for part in error.absolute_path) or "the answer"
        return Check("schema", False, f"{path} breaks the schema's rule {error.validator!r}.")
    return Check("schema", True, "The answer keeps the schema.")


def _verbatim(value: object, source: str) -> Check:
    wanted = _squeezed(source)
    missing = [path for path, text in _texts(value, ()) if _squeezed(text) not in wanted]
    if missing:
        return Check("verbatim", False, f"Not word for word in the source: {', '.join(missing)}.")
    return Check("verbatim", True, "Every value occurs word for word in the source.")


def _texts(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield ".".join(path) or "the answer", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, str(number)))


def _squeezed(text: str) -> str:
    # A value that runs over a line end in the source stands on one line in the answer.
    return re.sub(r"\s+", " ", text).strip()
