"""The word and sentence banks of the generator, in `banks/*.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "banks"


@cache
def bank(name: str) -> dict[str, Any]:
    """Read one bank; the order of its entries is part of the recipe."""
    content: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return content
