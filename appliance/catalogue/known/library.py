"""The known models, read from the package's own files."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from appliance.catalogue.errors import UnknownModelNameError
from appliance.catalogue.known.profile import KnownModel, PromptFormat

_PACKAGE = "appliance.catalogue.known"


@cache
def known_models() -> tuple[KnownModel, ...]:
    """Every known model, each family together, the small ones first."""
    formats = prompt_formats()
    models = [
        KnownModel.model_validate(_with_format(table, formats))
        for table in _tables(files(_PACKAGE))
    ]
    return tuple(sorted(models, key=lambda model: (_series(model), model.parameters, model.name)))


def known_model(name: str) -> KnownModel:
    """The known model of a name.

    Raises:
        UnknownModelNameError: there is none; names those that come near.
    """
    models = {model.name: model for model in known_models()}
    if name in models:
        return models[name]
    letters = _letters(name)
    near = [known for known in models if letters and letters in _letters(known)][:6]
    near = near or get_close_matches(name.lower(), models, n=4, cutoff=0.5)
    hint = f" Near to it: {', '.join(near)}." if near else ""
    raise UnknownModelNameError(
        f"Cloister knows no model {name[:80]!r}.{hint} All that it knows: cloister model known"
    )


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _series(model: KnownModel) -> str:
    return model.name.rstrip("0123456789").partition("-")[0].rstrip(".0123456789")


@cache
def prompt_formats() -> Mapping[str, PromptFormat]:
    """Every prompt format by name."""
    tables = _tables(files(_PACKAGE) / "formats")
    return {table["name"]: PromptFormat.model_validate(table) for table in tables}


def _with_format(table: dict[str, Any], formats: Mapping[str, PromptFormat]) -> dict[str, Any]:
    name = table.get("format")
    return table if name is None else {**table, "format": formats[name]}


def _tables(folder: Traversable) -> Iterator[dict[str, Any]]:
    """The TOML files of a folder; a file's name is the name of what it describes."""
    for file in folder.iterdir():
        stem, dot, suffix = file.name.rpartition(".")
        if dot and suffix == "toml":
            yield {"name": stem, **tomllib.loads(file.read_text("utf-8"))}
