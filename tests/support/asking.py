"""Requests that tests send, and reading what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

SHORT: dict[str, Any] = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 8,
    "temperature": 0,
}


def long_request(items: int = 900) -> dict[str, Any]:
    """A request whose answer takes seconds: so many numbers, whatever the model would say."""
    number = {"type": "integer", "minimum": 100, "maximum": 999}
    schema = {"type": "array", "minItems": items, "maxItems": items, "items": number}
    return {
        "model": "demo",
        "messages": [{"role": "user", "content": "Count."}],
        "max_tokens": 3900,
        "temperature": 1,
        "seed": 1,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "numbers", "schema": schema, "strict": True},
        },
    }


def events(lines: Iterable[str]) -> list[Any]:
    """The data of server-sent events: parsed JSON, and the text `[DONE]` as it is."""
    data = [line[6:] for line in lines if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]
