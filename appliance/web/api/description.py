"""The API's own description, from the file beside this module."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

import appliance


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    text = resources.files(__package__).joinpath("openapi.yaml").read_text("utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    document["info"]["version"] = appliance.__version__
    return document
